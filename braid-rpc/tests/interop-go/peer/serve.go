package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // registers it
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
)

// serve serves until its standard input closes, so that it never outlives the test that started
// it. Lines from there are commands: `stop` stops gracefully, `not-serving` changes its health.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "where to listen")
	minPing := flags.Duration("min-ping", 0, "how often a client may ping; 0 for grpc-go's default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(unary),
		grpc.StreamInterceptor(stream),
		grpc.StatsHandler(encodings{connected: func() { say("connected") }}),
	}
	if *minPing > 0 {
		options = append(options, grpc.KeepaliveEnforcementPolicy(
			keepalive.EnforcementPolicy{MinTime: *minPing},
		))
	}
	server := grpc.NewServer(options...)
	testpb.RegisterTestServiceServer(server, interop.NewTestServer())
	healthy := health.NewServer()
	healthpb.RegisterHealthServer(server, healthy)
	reflection.Register(server)

	go obey(server, healthy)
	say("listening %s", listener.Addr())
	if err := server.Serve(listener); err != nil {
		return err
	}
	// Serve returns as soon as a stop begins; `obey` ends the program.
	select {}
}

func obey(server *grpc.Server, healthy *health.Server) {
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		switch command := commands.Text(); command {
		case "stop":
			server.GracefulStop()
			say("stopped")
			os.Exit(0)
		case "not-serving":
			healthy.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
		default:
			fmt.Fprintf(os.Stderr, "peer: there is no command %q\n", command)
		}
	}
	os.Exit(0)
}

func unary(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	if err := fulfil(ctx); err != nil {
		return nil, err
	}
	simple, ok := request.(*testpb.SimpleRequest)
	if !ok {
		return handler(ctx, request)
	}
	expected := simple.GetExpectCompressed()
	if came := encodingOf(ctx).compressed(); expected != nil && expected.GetValue() != came {
		return nil, status.Errorf(codes.InvalidArgument, "the request's compression: %t", came)
	}
	// Without a wish grpc-go compresses as the request was.
	if wished := simple.GetResponseCompressed(); wished != nil {
		encoding := "identity"
		if wished.GetValue() {
			encoding = "gzip"
		}
		if err := grpc.SetSendCompressor(ctx, encoding); err != nil {
			return nil, err
		}
	}
	if wishes(ctx, wishEcho) {
		return &testpb.SimpleResponse{Payload: simple.GetPayload()}, nil
	}
	return handler(ctx, request)
}

func stream(
	service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler,
) error {
	if err := fulfil(stream.Context()); err != nil {
		return err
	}
	return handler(service, stream)
}

// fulfil fulfils the wishes that any method can be called with.
func fulfil(ctx context.Context) error {
	if wishes(ctx, wishDetails) {
		return detailed()
	}
	if wishes(ctx, wishHang) {
		if deadline, ok := ctx.Deadline(); ok {
			say("hanging, deadline in %d ms", time.Until(deadline).Milliseconds())
		} else {
			say("hanging")
		}
		<-ctx.Done()
		say("cancelled")
		return status.FromContextError(ctx.Err()).Err()
	}
	return nil
}
