// Command original is the other end of braid's interop tests for topics: the pub-sub of braid-go,
// of which it publishes and consumes by its public calls only.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/pojol/braid-go/components/depends/blog"
	"github.com/pojol/braid-go/components/pubsubredis"
	"github.com/pojol/braid-go/module"
	"github.com/pojol/braid-go/module/meta"
	"github.com/redis/go-redis/v9"
)

const usage = `usage: original publish ADDRESS TOPIC
       original consume ADDRESS TOPIC CHANNEL new|beginning

publish   publishes each line that it reads, and says "published" after each
consume   says "ready" once it has subscribed, then "got BODY" for each message, until its input ends`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "original:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "publish":
		return publish(topic(args[1], args[2]))
	case len(args) == 5 && args[0] == "consume":
		mode, known := map[string]string{
			"new":       pubsubredis.ReadModeLatest,
			"beginning": pubsubredis.ReadModeBeginning,
		}[args[4]]
		if known {
			return consume(topic(args[1], args[2]), args[3], mode)
		}
	}
	return fmt.Errorf("%s", usage)
}

func topic(address, name string) module.ITopic {
	info := meta.ServiceInfo{ID: "original", Name: "interop"}
	client := redis.NewClient(&redis.Options{Addr: address})
	// It would write its log to a file in the folder where it runs.
	log := blog.BuildWithOption(blog.WithPath(os.DevNull), blog.WithSuffex(""))
	return pubsubredis.BuildWithOption(info, log, client).GetTopic(name)
}

func publish(topic module.ITopic) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		message := &meta.Message{Body: []byte(lines.Text())}
		if err := topic.Pub(context.Background(), message); err != nil {
			return err
		}
		say("published")
	}
	return lines.Err()
}

func consume(topic module.ITopic, channel, mode string) error {
	subscribed, err := topic.Sub(context.Background(), channel, pubsubredis.WithReadMode(mode))
	if err != nil {
		return err
	}
	subscribed.Arrived(func(message *meta.Message) error {
		say("got %s", message.Body)
		return nil
	})
	say("ready")
	// The test ends it by closing its input.
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
	}
	return lines.Err()
}

// say tells the test that started this program what has happened, one line each.
func say(format string, values ...any) {
	fmt.Printf(format+"\n", values...)
}
