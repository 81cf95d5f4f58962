// Command bench is the original's pub-sub on the Redis of braid's benchmark: its own benchmark, or
// the drained form of it. It prints what came out as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"
)

const usage = `usage: bench publish ADDRESS TIME P...
       bench drain ADDRESS COUNT P`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("%s", usage)
	}
	var publishers []int
	for _, arg := range args[3:] {
		number, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		publishers = append(publishers, number)
	}
	switch args[0] {
	case "publish":
		benchtime, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		costs, err := publish(args[1], benchtime, publishers)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(costs)
	case "drain":
		count, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		drained, err := drain(args[1], publishers[0], count)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(drained)
	default:
		return fmt.Errorf("%s", usage)
	}
}
