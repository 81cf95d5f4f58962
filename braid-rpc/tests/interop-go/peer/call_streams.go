package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// halfDuplex is the one kind of stream that grpc-go's own client has no case for.
func halfDuplex(ctx context.Context, c *caller) error {
	stream, err := c.test.HalfDuplexCall(ctx)
	if err != nil {
		return err
	}
	sizes := []int{31_415, 9, 2_653, 58_979}
	for _, size := range sizes {
		if err := stream.Send(&testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{{Size: int32(size)}},
		}); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var got []int
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		got = append(got, len(reply.GetPayload().GetBody()))
	}
	if !slices.Equal(got, sizes) {
		return fmt.Errorf("answers of %d bytes", got)
	}
	return nil
}
