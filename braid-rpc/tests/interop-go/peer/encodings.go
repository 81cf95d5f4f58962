package main

import (
	"context"
	"sync"

	"google.golang.org/grpc/stats"
)

// encodings is a stats handler that remembers how the other side compresses, by call.
type encodings struct {
	// Told of each new connection.
	connected func()
}

// encoding is what one call shows of it.
type encoding struct {
	mu   sync.Mutex
	name string // of the encoding; empty for none
	// Whether a message was smaller on the wire than in memory.
	smaller bool
}

type encodingKey struct{}

// withEncoding lets a client see the encoding of the answer.
func withEncoding(ctx context.Context) (context.Context, *encoding) {
	seen := new(encoding)
	return context.WithValue(ctx, encodingKey{}, seen), seen
}

// encodingOf is the encoding of a call: of the request on a server, of the answer on a client.
func encodingOf(ctx context.Context) *encoding {
	if seen, ok := ctx.Value(encodingKey{}).(*encoding); ok {
		return seen
	}
	return new(encoding)
}

// compressed is whether messages came compressed, and not only said so.
func (e *encoding) compressed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.name == "gzip" && e.smaller
}

func (encodings) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	if _, tagged := ctx.Value(encodingKey{}).(*encoding); tagged {
		return ctx
	}
	ctx, _ = withEncoding(ctx)
	return ctx
}

func (encodings) HandleRPC(ctx context.Context, event stats.RPCStats) {
	seen := encodingOf(ctx)
	seen.mu.Lock()
	defer seen.mu.Unlock()
	switch event := event.(type) {
	case *stats.InHeader:
		seen.name = event.Compression
	case *stats.InPayload:
		seen.smaller = seen.smaller || event.CompressedLength < event.Length
	}
}

func (encodings) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

func (e encodings) HandleConn(_ context.Context, event stats.ConnStats) {
	if _, begun := event.(*stats.ConnBegin); begun && e.connected != nil {
		e.connected()
	}
}
