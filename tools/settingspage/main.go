// Command settingspage writes the page with all settings from the comments of
// api/kratosmqtt/v1/config.proto, so that page and code cannot differ.
//
//	settingspage FILE         compare FILE with the settings, exit 1 if they differ
//	settingspage -write FILE  write the settings to FILE
//
// It must run in the folder of go.mod.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
)

func main() {
	write := flag.Bool("write", false, "write the file")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "settingspage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string, write bool) error {
	settings, err := load(ctx, "api")
	if err != nil {
		return err
	}
	want, err := page(settings)
	if err != nil {
		return err
	}
	if write {
		return os.WriteFile(file, want, 0o644)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not up to date: run `make settings` and commit it", file)
	}
	return nil
}
