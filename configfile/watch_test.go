package configfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// lines is a logger that keeps what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(level, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, level+" "+fmt.Sprintf(format, args...))
}

func (l *lines) Infof(format string, args ...any)  { l.add("INFO", format, args...) }
func (l *lines) Warnf(format string, args ...any)  { l.add("WARN", format, args...) }
func (l *lines) Errorf(format string, args ...any) { l.add("ERROR", format, args...) }

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// A changed file is applied once; one with a problem, or that is missing, changes nothing
// and is logged with file, line and key. After Stop nothing is applied.
func TestWatcher(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	put := func(text string) {
		t.Helper()
		err := os.WriteFile(path+".new", []byte(text), 0o600)
		if err = errors.Join(err, os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	put("connection: {client_id: first}\n")
	var mu sync.Mutex
	var applied []string
	log := new(lines)
	w := configfile.NewWatcher(path, log, func(s *v1.Settings) error {
		if s.GetConnection().GetClientId() == "refused" {
			return event.NewSettingError("Connection", "client_id", "is refused")
		}
		return nil
	}, func(s *v1.Settings) error {
		mu.Lock()
		defer mu.Unlock()
		applied = append(applied, s.GetConnection().GetClientId())
		return event.NewSettingError("Connection", "client_id", "%w", event.ErrNeedsRestart)
	})
	over := make(chan error, 1)
	go func() { over <- w.Start(t.Context()) }()
	logs := func(part string) {
		t.Helper()
		mqtttest.Eventually(t, 15*time.Second, func() error {
			if n := log.count(part); n != 1 {
				return fmt.Errorf("%d times %q: %v", n, part, log)
			}
			return nil
		})
	}
	put("connection:\n  client_id: second\n")
	logs("WARN configuration: " + path + ":2: connection.client_id: needs a restart")
	put("connection:\n\n  client_id: refused\n")
	logs("ERROR configuration: the changed file is not used, all settings stay as they are: " + path + ":3: connection.client_id: is refused")
	put("connection:\n  client_idd: third\n")
	logs(path + ":2: connection.client_idd: unknown key")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	logs("ERROR configuration: the file cannot be read, all settings stay as they are")
	put("{}\n") // the key is removed
	logs("c.yaml: connection.client_id: needs a restart")
	for range 2 {
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	if err := w.Start(context.Background()); err != nil { // returns at once
		t.Error(err)
	}
	if want := []string{"second", ""}; !slices.Equal(applied, want) {
		t.Errorf("applied %q, want %q", applied, want)
	}
}

// A change counts even if size and time stay the same, and only once it is complete.
func TestWatcherComparesContents(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	written := time.Now()
	put := func(text string) {
		t.Helper()
		err := os.WriteFile(path, []byte(text), 0o600)
		if err = errors.Join(err, os.Chtimes(path, written, written)); err != nil {
			t.Fatal(err)
		}
	}
	put("connection: {client_id: first}\n")
	synctest.Test(t, func(t *testing.T) {
		var applied []string
		w := configfile.NewWatcher(path, new(lines), nil, func(s *v1.Settings) error {
			applied = append(applied, s.GetConnection().GetClientId())
			return nil
		})
		go func() { _ = w.Start(t.Context()) }()
		look := func(after time.Duration) { <-time.After(after + time.Millisecond) }
		put("")
		look(time.Second)
		put("connection: {client_id: other}\n")
		look(2 * time.Second)
		put("connection: {client_id: third}\n")
		look(3 * time.Second)
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if want := []string{"other", "third"}; !slices.Equal(applied, want) {
			t.Errorf("applied %q, want %q", applied, want)
		}
	})
}
