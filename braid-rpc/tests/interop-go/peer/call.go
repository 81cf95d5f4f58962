package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// A case fails with what isn't as it should be.
var cases = map[string]func(context.Context, *caller) error{
	"deadline":         deadline,
	"details":          detailsArrive,
	"echo":             echo,
	"gzip":             gzip,
	"half_duplex":      halfDuplex,
	"health":           healthChecks,
	"health_watch":     healthWatch,
	"metadata":         metadataTravels,
	"reflection":       reflects,
	"too_large":        tooLarge,
	"unhealthy_passed": unhealthyPassed,
}

// caller is a client of one server.
type caller struct {
	address     string
	conn        *grpc.ClientConn
	test        testpb.TestServiceClient
	connections *atomic.Int32
}

func call(address, name string) error {
	check, ok := cases[name]
	if !ok {
		names := make([]string, 0, len(cases))
		for name := range cases {
			names = append(names, name)
		}
		slices.Sort(names)
		return fmt.Errorf("there is no case %q, but: %s", name, strings.Join(names, ", "))
	}
	caller, err := dial(address)
	if err != nil {
		return err
	}
	defer caller.conn.Close()
	// Whoever started this is less patient.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := check(ctx, caller); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func dial(address string, options ...grpc.DialOption) (*caller, error) {
	connections := new(atomic.Int32)
	options = append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(encodings{connected: func() { connections.Add(1) }}),
	)
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		return nil, err
	}
	return &caller{
		address:     address,
		conn:        conn,
		test:        testpb.NewTestServiceClient(conn),
		connections: connections,
	}, nil
}

// payload is of a size, and such that it can be compressed but not mistaken.
func payload(size int) *testpb.Payload {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i / 64)
	}
	return &testpb.Payload{Body: body}
}
