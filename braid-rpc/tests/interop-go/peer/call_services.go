package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/health" // lets channels look at it
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func healthChecks(ctx context.Context, c *caller) error {
	health := healthpb.NewHealthClient(c.conn)
	for _, service := range []string{"", "grpc.testing.TestService"} {
		reply, err := health.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
		if err != nil || reply.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("%q: %v, %w", service, reply, err)
		}
	}
	_, err := health.Check(ctx, &healthpb.HealthCheckRequest{Service: "no.Such"})
	if status.Code(err) != codes.NotFound {
		return fmt.Errorf("an unknown service: %w", err)
	}
	return nil
}

// healthWatch says each change until the stream ends.
func healthWatch(ctx context.Context, c *caller) error {
	health := healthpb.NewHealthClient(c.conn)
	stream, err := health.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		say("%s", reply.GetStatus())
	}
}

// unhealthyPassed calls by a channel that leaves out unhealthy servers: the one server is, for now.
func unhealthyPassed(ctx context.Context, c *caller) error {
	checked, err := dial(c.address, grpc.WithDefaultServiceConfig(`{
		"loadBalancingConfig": [{"round_robin": {}}],
		"healthCheckConfig": {"serviceName": ""}
	}`))
	if err != nil {
		return err
	}
	defer checked.conn.Close()
	_, err = checked.test.EmptyCall(ctx, &testpb.Empty{})
	if status.Code(err) != codes.Unavailable {
		return fmt.Errorf("not passed over: %w", err)
	}
	say("passed over")
	_, err = checked.test.EmptyCall(ctx, &testpb.Empty{}, grpc.WaitForReady(true))
	return err
}

func reflects(ctx context.Context, c *caller) error {
	stream, err := reflectionpb.NewServerReflectionClient(c.conn).ServerReflectionInfo(ctx)
	if err != nil {
		return err
	}
	ask := func(request *reflectionpb.ServerReflectionRequest) (*reflectionpb.ServerReflectionResponse, error) {
		if err := stream.Send(request); err != nil {
			return nil, err
		}
		return stream.Recv()
	}
	list, err := ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		return err
	}
	var names []string
	for _, service := range list.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	slices.Sort(names)
	wanted := []string{
		"grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection",
		"grpc.reflection.v1alpha.ServerReflection",
		"grpc.testing.TestService",
		"proto.listen",
	}
	if !slices.Equal(names, wanted) {
		return fmt.Errorf("it serves %q", names)
	}
	described, err := ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{
			FileContainingSymbol: "grpc.testing.TestService",
		},
	})
	if err != nil {
		return err
	}
	var packages []string
	for _, encoded := range described.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(encoded, file); err != nil {
			return err
		}
		packages = append(packages, file.GetPackage())
	}
	if !slices.Contains(packages, "grpc.testing") {
		return fmt.Errorf("it describes the packages %q", packages)
	}
	return stream.CloseSend()
}
