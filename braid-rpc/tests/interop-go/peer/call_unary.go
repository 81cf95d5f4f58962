package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func echo(ctx context.Context, c *caller) error {
	for _, size := range []int{0, 1, 16 << 10, 2 << 20} {
		request := &testpb.SimpleRequest{Payload: payload(size)}
		reply, err := c.test.UnaryCall(wish(ctx, wishEcho), request)
		if err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
		if !bytes.Equal(reply.GetPayload().GetBody(), request.Payload.Body) {
			return fmt.Errorf("%d bytes came back as others", size)
		}
	}
	return nil
}

// gzip compresses the request, the answer, both, and neither.
func gzip(ctx context.Context, c *caller) error {
	for _, request := range []bool{false, true} {
		for _, answer := range []bool{false, true} {
			ctx, seen := withEncoding(wish(ctx, wishEcho))
			var options []grpc.CallOption
			if request {
				options = append(options, grpc.UseCompressor("gzip"))
			}
			sent := payload(100 << 10)
			reply, err := c.test.UnaryCall(ctx, &testpb.SimpleRequest{
				Payload:            sent,
				ExpectCompressed:   &testpb.BoolValue{Value: request},
				ResponseCompressed: &testpb.BoolValue{Value: answer},
			}, options...)
			if err != nil {
				return fmt.Errorf("request %t, answer %t: %w", request, answer, err)
			}
			if !proto.Equal(reply.GetPayload(), sent) {
				return fmt.Errorf("request %t, answer %t: another payload", request, answer)
			}
			if seen.compressed() != answer {
				return fmt.Errorf("request %t, answer %t: came otherwise", request, answer)
			}
		}
	}
	return nil
}

func detailsArrive(ctx context.Context, c *caller) error {
	ctx = wish(ctx, wishDetails)
	_, unary := c.test.UnaryCall(ctx, &testpb.SimpleRequest{})
	stream, err := c.test.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	_, streamed := stream.Recv()
	for _, err := range []error{unary, streamed} {
		got := status.Convert(err)
		if got.Code() != codes.FailedPrecondition || got.Message() != detailedMessage {
			return fmt.Errorf("not the status: %w", err)
		}
		wanted := details()
		if len(got.Details()) != len(wanted) {
			return fmt.Errorf("not the details: %v", got.Details())
		}
		for i, detail := range got.Details() {
			detail, ok := detail.(proto.Message)
			if !ok || !proto.Equal(detail, wanted[i].(proto.Message)) {
				return fmt.Errorf("detail %d: %v instead of %v", i, detail, wanted[i])
			}
		}
	}
	return nil
}

func deadline(ctx context.Context, c *caller) error {
	ctx, cancel := context.WithTimeout(wish(ctx, wishHang), 200*time.Millisecond)
	defer cancel()
	_, unary := c.test.UnaryCall(ctx, &testpb.SimpleRequest{})
	if status.Code(unary) != codes.DeadlineExceeded {
		return fmt.Errorf("unary: %w", unary)
	}
	return nil
}

// metadataTravels repeats keys, and sends bytes that are no text.
func metadataTravels(ctx context.Context, c *caller) error {
	const initial, trailing = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
	ctx = metadata.AppendToOutgoingContext(ctx,
		initial, "one", initial, "two", trailing, "\x00\xff\xab", trailing, "\x01,",
	)
	var header, trailer metadata.MD
	_, err := c.test.UnaryCall(
		ctx, &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer),
	)
	if err != nil {
		return err
	}
	if got := header.Get(initial); !slices.Equal(got, []string{"one", "two"}) {
		return fmt.Errorf("the header has %q", got)
	}
	if got := trailer.Get(trailing); !slices.Equal(got, []string{"\x00\xff\xab", "\x01,"}) {
		return fmt.Errorf("the trailer has %q", got)
	}
	return nil
}

// tooLarge calls a server whose limit is 64 KiB both ways.
func tooLarge(ctx context.Context, c *caller) error {
	const limit = 64 << 10
	for _, request := range []*testpb.SimpleRequest{
		{Payload: payload(2 * limit)},
		{ResponseSize: 2 * limit},
	} {
		_, err := c.test.UnaryCall(ctx, request)
		if status.Code(err) != codes.ResourceExhausted {
			return fmt.Errorf("not refused as too large: %w", err)
		}
		small := &testpb.SimpleRequest{Payload: payload(limit / 2), ResponseSize: limit / 2}
		if _, err := c.test.UnaryCall(ctx, small); err != nil {
			return fmt.Errorf("the next call: %w", err)
		}
	}
	if count := c.connections.Load(); count != 1 {
		return fmt.Errorf("it took %d connections", count)
	}
	return nil
}
