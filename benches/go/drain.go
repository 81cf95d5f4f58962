package main

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/pojol/braid-go/module/meta"
)

// drained is what two channels have handed out.
type drained struct {
	Deliveries int64   `json:"deliveries"`
	Seconds    float64 `json:"seconds"`
}

// quiet is how long nothing may arrive until nothing more will.
const quiet = 500 * time.Millisecond

// drain publishes and waits until two channels have handed out all of it. A message that one channel
// has acked is deleted, so that the other may never see it: what was handed out is what counts, up to
// the last one.
func drain(address string, publishers, count int) (drained, error) {
	topic, channels, err := subscribed(address)
	if err != nil {
		return drained{}, err
	}
	var deliveries, last atomic.Int64
	started := time.Now()
	for _, channel := range channels {
		channel.Arrived(func(*meta.Message) error {
			deliveries.Add(1)
			last.Store(int64(time.Since(started)))
			return nil
		})
	}
	if err := publishAll(topic, publishers, count); err != nil {
		return drained{}, err
	}
	for deliveries.Load() < int64(2*count) {
		if time.Since(started)-time.Duration(last.Load()) > quiet {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if deliveries.Load() < int64(count) {
		return drained{}, errors.New("less than half of it was handed out")
	}
	seconds := time.Duration(last.Load()).Seconds()
	return drained{Deliveries: deliveries.Load(), Seconds: seconds}, nil
}
