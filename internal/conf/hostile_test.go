package conf

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/go-kratos/kratos/v2/config"
	"github.com/go-kratos/kratos/v2/config/env"

	"github.com/kratos-mqtt/kratos-mqtt/internal/hostile"
)

func TestBadFiles(t *testing.T) {
	rows, err := hostile.Configurations()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range rows {
		if row.Kind != "file" {
			continue
		}
		n++
		t.Run(row.Rule+"/"+row.Case, func(t *testing.T) {
			_, err := Load(write(t, row.Text))
			if err == nil {
				t.Fatalf("accepted, want %q", row.Want)
			}
			for _, part := range row.Want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\ndoes not say %q", err, part)
				}
			}
			noSecret(t, err)
		})
	}
	if strings.Contains(logged.String(), hostile.Secret) || strings.Contains(logged.String(), hostile.SecretNumber) {
		t.Errorf("a secret was logged:\n%s", logged.String())
	}
	if n < 50 {
		t.Errorf("only %d files", n)
	}
}

// logged is what Kratos reports on its own, to the logger that it takes for all:
// set once, because goroutines of its configuration log after they are done.
var logged = new(safeBuilder)

// safeBuilder may be written to by goroutines of Kratos that end later.
type safeBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *safeBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func noSecret(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if strings.Contains(text, hostile.Secret) || strings.Contains(text, hostile.SecretNumber) || strings.Contains(text, "4.815162342e+09") {
		t.Errorf("a secret is in %s", text)
	}
	if strings.ContainsFunc(strings.ReplaceAll(text, "\n", " "), func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("not fit for a log: %q", text)
	}
}

// FuzzLoad reads arbitrary files: nothing panics, and no error repeats the
// password or the user information in them.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"config.yaml", "collector.yaml", "saver.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "configs", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text) + "\n# ")
	}
	rows, err := hostile.Configurations()
	if err != nil {
		f.Fatal(err)
	}
	for _, row := range rows {
		if row.Kind == "file" {
			f.Add(row.Text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 64<<10 {
			return
		}
		planted := "mqtt: {connection: {addresses: ['mqtts://user:" + hostile.Secret + "@broker'], password: " + hostile.Secret + "}}\n"
		for _, file := range []string{text, planted + text, strings.ReplaceAll(text, "broker", "u:"+hostile.Secret+"@broker")} {
			if _, err := load(inMemory(file), "config.yaml"); err != nil && strings.Contains(err.Error(), hostile.Secret) {
				t.Fatalf("%q: a secret is in %v", file, err)
			}
		}
	})
}

// inMemory is the text of a file.
type inMemory string

// Load implements config.Source.
func (m inMemory) Load() ([]*config.KeyValue, error) {
	return []*config.KeyValue{{Key: "config.yaml", Value: []byte(m), Format: "yaml"}}, nil
}

// Watch implements config.Source.
func (inMemory) Watch() (config.Watcher, error) { return env.NewWatcher() }
