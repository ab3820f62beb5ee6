package command_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPageRuns runs the lines of the page about messages, while devices send some.
func TestPageRuns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	brokers(t, func(t *testing.T, url string) {
		folder := t.TempDir()
		writeFile(t, filepath.Join(folder, "telemetry.jsonl"), `{"device_id":"d1"}`)
		writeFile(t, filepath.Join(folder, "frame.jpg"), "\xff\xd8")
		run(t, "", "publish", "-b", url, "-t", "kept", "--retain", "x")
		for _, operation := range []string{"RecordTelemetry", "RaiseAlert"} {
			begin(t, "", "simulate", operation, "-d", api, "-b", url, "--rate", "200")
		}
		ran := make(map[string]int)
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				words := regexp.MustCompile(`'[^']*'|\S+`).FindAllString(strings.TrimSpace(line), -1)
				if len(words) < 2 || !slices.Contains([]string{"tail", "record", "play", "publish", "simulate", "bench"}, words[1]) {
					continue
				}
				ran[words[1]]++
				if out := run(t, "", shortened(words[1:], folder, url)...); out == "" && words[1] == "tail" {
					t.Errorf("%q shows nothing", line)
				}
			}
		}
		if len(ran) != 6 || ran["tail"] < 4 {
			t.Errorf("ran %v", ran)
		}
	})
}

// shortened returns the arguments of a line, with the files and the broker of the test, and an
// end for commands that go on until they are interrupted.
func shortened(words []string, folder, url string) []string {
	args := []string{words[0], "-b", url}
	for i := 1; i < len(words); i++ {
		word := strings.Trim(words[i], "'")
		switch file := filepath.Join(folder, strings.TrimPrefix(word, "@")); {
		case word == "api":
			word = api
		case word == "--timeout" || word == "--duration":
			i++
			continue
		case strings.HasPrefix(word, "@"):
			word = "@" + file
		case strings.HasSuffix(word, ".rec") || strings.HasSuffix(word, ".jsonl"):
			word = file
		}
		args = append(args, word)
	}
	if !slices.Contains([]string{"play", "publish"}, words[0]) && !slices.Contains(args, "--count") && !slices.Contains(args, "--retained") {
		args = append(args, "--count", "3")
	}
	return args
}
