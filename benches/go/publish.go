package main

import (
	"context"
	"errors"
	"flag"
	"runtime"
	"testing"
	"time"

	"github.com/pojol/braid-go/module/meta"
)

// cost is what one publish costs.
type cost struct {
	Nanoseconds float64 `json:"ns"`
	Bytes       float64 `json:"bytes"`
	Allocations float64 `json:"allocs"`
}

// publish is the original's own benchmark, in the way of `go test -benchmem -cpu P,...`: one after
// the other in one process, each as often as it takes to fill the time.
func publish(address string, benchtime time.Duration, publishers []int) ([]cost, error) {
	testing.Init()
	if err := flag.Set("test.benchtime", benchtime.String()); err != nil {
		return nil, err
	}
	var costs []cost
	for _, publishers := range publishers {
		runtime.GOMAXPROCS(publishers)
		result := testing.Benchmark(func(b *testing.B) { benchmark(b, address) })
		if result.N == 0 {
			return nil, errors.New("the benchmark failed")
		}
		n := float64(result.N)
		costs = append(costs, cost{
			Nanoseconds: float64(result.T.Nanoseconds()) / n,
			Bytes:       float64(result.MemBytes) / n,
			Allocations: float64(result.MemAllocs) / n,
		})
	}
	return costs, nil
}

// benchmark publishes by as many goroutines as there are processors, while two channels hand what
// arrives to handlers, which nobody waits for.
//
// The testing package calls it several times to find out how often it has to publish. The original's
// channels go on reading after they were closed, so that those of earlier calls take part.
func benchmark(b *testing.B, address string) {
	topic, channels, err := subscribed(address)
	if err != nil {
		b.Fatal(err)
	}
	defer topic.Close()
	for _, channel := range channels {
		defer channel.Close()
	}
	b.ResetTimer()
	for _, channel := range channels {
		channel.Arrived(func(*meta.Message) error { return nil })
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			message := &meta.Message{Body: []byte("test")}
			if err := topic.Pub(context.Background(), message); err != nil {
				b.Error(err)
			}
		}
	})
}
