package main

import (
	"context"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// What a caller may wish for by metadata, beyond what the test service does. The tests' own server
// knows the same names.
const (
	wishEcho    = "interop-echo"    // answer with the request's payload
	wishDetails = "interop-details" // fail with the status below
	wishHang    = "interop-hang"    // never answer
)

func wishes(ctx context.Context, wish string) bool {
	return len(metadata.ValueFromIncomingContext(ctx, wish)) > 0
}

func wish(ctx context.Context, wish string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, wish, "1")
}

const detailedMessage = "the purse is empty: 5 € are missing"

func details() []protoadapt.MessageV1 {
	return []protoadapt.MessageV1{
		&errdetails.ErrorInfo{
			Reason:   "PURSE_EMPTY",
			Domain:   "bank.example",
			Metadata: map[string]string{"missing": "5"},
		},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{
			Field:       "amount",
			Description: "more than there is",
		}}},
	}
}

func detailed() error {
	plain := status.New(codes.FailedPrecondition, detailedMessage)
	detailed, err := plain.WithDetails(details()...)
	if err != nil {
		return err
	}
	return detailed.Err()
}
