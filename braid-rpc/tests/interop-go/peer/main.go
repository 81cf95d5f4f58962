// Command peer is the other end of braid's interop tests, on grpc-go: a server, or a client that
// checks one thing and exits with 0 if it is so. Both are grpc-go's own test service and a little
// more.
package main

import (
	"fmt"
	"os"
)

const usage = `usage: peer serve [flags]
       peer call ADDRESS CASE`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 1 && args[0] == "serve":
		return serve(args[1:])
	case len(args) == 3 && args[0] == "call":
		return call(args[1], args[2])
	default:
		return fmt.Errorf("%s", usage)
	}
}

// say tells the test that started this program what has happened, one line each.
func say(format string, values ...any) {
	fmt.Printf(format+"\n", values...)
}
