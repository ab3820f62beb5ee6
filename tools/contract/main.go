// Command contract compares AsyncAPI documents with the contract that is committed
// with them. A change that breaks existing publishers or subscribers, such as another
// topic, QoS, type or presence, must be confirmed.
//
//	contract [-write] [-confirm] LOCK DOCUMENT...
//
// Without -write it compares and reports all changes. With -write it adds new entries to
// LOCK; breaking changes are refused unless -confirm is set, too.
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
	write := flag.Bool("write", false, "add new entries to the lock")
	confirm := flag.Bool("confirm", false, "with -write: accept breaking changes")
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
			return fmt.Errorf("%s: %s differs from an earlier document that defines it too: use a separate lock for each of them", file, key)
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
		return fmt.Errorf("%s: these changes break existing publishers or subscribers:\n  %s\nto accept them: make api BREAK=confirmed", lock, strings.Join(breaks, "\n  "))
	case write:
		return os.WriteFile(lock, current.Marshal(), 0o644)
	case len(changes) > 0:
		return fmt.Errorf("%s is not up to date: %v\nrun make api and commit it", lock, changes[0])
	}
	return nil
}

// conflict returns the first entry that two documents define differently. In a common
// lock, one would hide changes of the other.
func conflict(a, b contract.Contract) string {
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if value, ok := a[key]; ok && value != b[key] {
			return key
		}
	}
	return ""
}
