// Command faults sends messages through publishers, a broker and consumers, while it
// injects faults everywhere. It ends with one line about the messages that arrived, and
// exits with 1 if one was lost. The environment variables MESSAGES, FAULTS, KINDS,
// PROTOCOL, BROKER, SEED, RATE and DURATION configure the run.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/soak"
)

func main() {
	soak.RunChild()
	o, err := soak.Options{Progress: os.Stderr}.FromEnv()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	os.Exit(new(soak.Standalone).Main(func(tb testing.TB) {
		r := soak.Run(tb, o)
		for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
			fmt.Printf("%6d %s\n", r.Kinds[kind], kind)
		}
		if rare := r.Rare(); len(rare) > 0 {
			fmt.Println("fewer than five times:", strings.Join(rare, ", "))
		}
		if err := r.Err(); err != nil {
			tb.Errorf("faults: %v", err)
		}
		fmt.Println(r)
	}))
}
