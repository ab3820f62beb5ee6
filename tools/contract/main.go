// Command contract holds AsyncAPI documents to the contract that was committed
// with them: a change that breaks who is on the other side, of a topic, QoS, type
// or presence, has to be confirmed.
//
//	contract [-write] [-confirm] LOCK DOCUMENT...
//
// Without -write it compares and reports all changes. With -write it adds what is
// new to LOCK; what breaks is refused unless -confirm is set, too.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/contract"
)

func main() {
	write := flag.Bool("write", false, "add to the lock what is new")
	confirm := flag.Bool("confirm", false, "with -write: accept what breaks")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: contract [-write] [-confirm] LOCK DOCUMENT...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() < 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Args()[1:], *write, *confirm); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(lock string, documents []string, write, confirm bool) error {
	current := make(contract.Contract)
	for _, file := range documents {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		c, err := contract.Of(b)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if key := conflict(current, c); key != "" {
			return fmt.Errorf("%s: %s is also promised by a document before it, and differs: compare them with a lock each", file, key)
		}
		maps.Copy(current, c)
	}
	old := make(contract.Contract)
	b, err := os.ReadFile(lock)
	switch {
	case errors.Is(err, fs.ErrNotExist) && write: // the first contract
	case err != nil:
		return fmt.Errorf("%w: run make api and commit it", err)
	default:
		if old, err = contract.Unmarshal(b); err != nil {
			return fmt.Errorf("%s: %w", lock, err)
		}
	}
	changes := contract.Compare(old, current)
	var breaks []string
	for _, c := range changes {
		if c.Breaking() {
			breaks = append(breaks, c.String())
		}
	}
	switch {
	case len(breaks) > 0 && (!write || !confirm):
		return fmt.Errorf("%s: the other side would break:\n  %s\nif that is meant: make api BREAK=confirmed", lock, strings.Join(breaks, "\n  "))
	case write:
		return os.WriteFile(lock, current.Marshal(), 0o644)
	case len(changes) > 0:
		return fmt.Errorf("%s lacks what the documents promise: %v\nrun make api and commit it", lock, changes[0])
	}
	return nil
}

// conflict is the first promise that two documents make differently; one would
// hide what becomes of the other.
func conflict(a, b contract.Contract) string {
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if value, ok := a[key]; ok && value != b[key] {
			return key
		}
	}
	return ""
}
