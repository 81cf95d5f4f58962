package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pojol/braid-go/components/depends/blog"
	"github.com/pojol/braid-go/components/depends/bredis"
	"github.com/pojol/braid-go/components/pubsubredis"
	"github.com/pojol/braid-go/module"
	"github.com/pojol/braid-go/module/meta"
	"github.com/redis/go-redis/v9"
)

// subscribed is a topic with two channels, which have no handlers yet.
func subscribed(address string) (module.ITopic, [2]module.IChannel, error) {
	var channels [2]module.IChannel
	pubsub := pubsubredis.BuildWithOption(
		meta.ServiceInfo{ID: "bench-1", Name: "bench"},
		blog.BuildWithDefaultOption(),
		bredis.BuildWithOption(&redis.Options{Addr: address}),
	)
	topic := pubsub.GetTopic("bench")
	for i := range channels {
		channel, err := topic.Sub(context.Background(), fmt.Sprintf("channel-%d", i+1))
		if err != nil {
			return nil, channels, err
		}
		channels[i] = channel
	}
	return topic, channels, nil
}

// publishAll publishes so many messages by so many goroutines, each after its last one was stored.
func publishAll(topic module.ITopic, publishers, count int) error {
	var taken atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, publishers)
	for range publishers {
		all.Go(func() {
			for taken.Add(1) <= int64(count) {
				message := &meta.Message{Body: []byte("test")}
				if err := topic.Pub(context.Background(), message); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}
