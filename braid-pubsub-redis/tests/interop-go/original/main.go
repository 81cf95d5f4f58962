// Command original is the other end of braid's interop tests for topics and links: the pub-sub and
// the linker of braid-go, of which it uses the public calls only.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pojol/braid-go/components/depends/blog"
	"github.com/pojol/braid-go/components/linkcacheredis"
	"github.com/pojol/braid-go/components/pubsubredis"
	"github.com/pojol/braid-go/module"
	"github.com/pojol/braid-go/module/meta"
	"github.com/redis/go-redis/v9"
)

const usage = `usage: original publish ADDRESS TOPIC
       original consume ADDRESS TOPIC CHANNEL new|beginning
       original link ADDRESS PARENT

publish   publishes each line that it reads, and says "published" after each
consume   says "ready" once it has subscribed, then "got BODY" for each message, until its input ends
link      does what it reads, and says "done" after each: "link TOKEN CHILD ID ADDRESS", "unlink TOKEN CHILD",
          "down TOKEN CHILD ID", of which the last two wait until the token's link to the child has ended`

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
	case len(args) == 3 && args[0] == "link":
		return link(args[1], args[2])
	}
	return fmt.Errorf("%s", usage)
}

func topic(address, name string) module.ITopic {
	info := meta.ServiceInfo{ID: "original", Name: "interop"}
	client := redis.NewClient(&redis.Options{Addr: address})
	return pubsubredis.BuildWithOption(info, quiet(), client).GetTopic(name)
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

func link(address, parent string) error {
	info := meta.ServiceInfo{ID: "original", Name: parent}
	client := redis.NewClient(&redis.Options{Addr: address})
	log := quiet()
	topics := pubsubredis.BuildWithOption(info, log, client)
	mode := linkcacheredis.WithMode(linkcacheredis.LinkerRedisModeRedis)
	links := linkcacheredis.BuildWithOption(info, log, topics, client, mode)
	if err := links.Init(); err != nil {
		return err
	}
	// Only a master ends links.
	master := meta.EncodeStateChangeMsg(meta.EMaster, info.ID)
	if err := topics.GetTopic(meta.TopicElectionChangeState).Pub(context.Background(), master); err != nil {
		return err
	}
	runs := false
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 5 && words[0] == "link" {
			node := meta.Node{ID: words[3], Name: words[2], Address: words[4]}
			if err := links.Link(words[1], node); err != nil {
				return err
			}
			say("done")
			continue
		}
		if !runs {
			// It looks for what is linked when it starts to run, and every few seconds.
			links.Run()
			runs = true
		}
		end := func() error { return links.Unlink(words[1]) }
		if words[0] == "down" {
			end = func() error { return links.Down(meta.Node{ID: words[3], Name: words[2]}) }
		}
		// It does nothing, and says so to nobody, before it has heard that it is the master.
		for linked := true; linked; {
			if err := end(); err != nil {
				return err
			}
			_, err := links.Target(words[1], words[2])
			linked = err == nil
			time.Sleep(10 * time.Millisecond)
		}
		say("done")
	}
	return lines.Err()
}

// quiet is a log that goes nowhere: the original would write to a file in the folder where it runs.
func quiet() *blog.Logger {
	return blog.BuildWithOption(blog.WithPath(os.DevNull), blog.WithSuffex(""))
}

// say tells the test that started this program what has happened, one line each.
func say(format string, values ...any) {
	fmt.Printf(format+"\n", values...)
}
