package stores_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	_ "modernc.org/sqlite"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
)

func database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestOpen opens what each configuration names, twice: what is durable is there
// again.
func TestOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		c          *v1.Settings
	}{
		{"nothing", "<nil> <nil> <nil>", nil},
		{"empty", "<nil> <nil> <nil>", &v1.Settings{Outbox: &v1.Outbox{}, Dedup: &v1.Dedup{}, DeadLetters: &v1.DeadLetters{}}},
		{"none", "<nil> <nil> <nil>", &v1.Settings{Outbox: &v1.Outbox{Driver: "none"}, Dedup: &v1.Dedup{Driver: "none"}, DeadLetters: &v1.DeadLetters{Driver: "retained"}}},
		{"memory", "*outbox.memory *dedup.memory <nil>", &v1.Settings{Outbox: &v1.Outbox{Driver: "memory"}, Dedup: &v1.Dedup{Driver: "memory"}}},
		{"file", "*outboxfile.Store <nil> *deadletterfile.Store", &v1.Settings{Outbox: &v1.Outbox{Driver: "file", Path: "a/o.db"}, DeadLetters: &v1.DeadLetters{Path: "b/l.db"}}},
		{"sql", "*outboxsql.Store *dedupsql.Window *deadlettersql.Store", &v1.Settings{Outbox: &v1.Outbox{Driver: "sql"}, Dedup: &v1.Dedup{Driver: "sql"}, DeadLetters: &v1.DeadLetters{Driver: "sql"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := stores.Options{DB: database(t), Folder: t.TempDir(), OnDamaged: func(store, report string) { t.Errorf("%s: %s", store, report) }}
			for range 2 {
				s, cleanup, err := stores.Open(t.Context(), c.c, o)
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprintf("%T %T %T", s.Outbox, s.Dedup, s.DeadLetters); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if s.Outbox != nil {
					if _, err := s.Outbox.Stats(t.Context()); err != nil {
						t.Error(err)
					}
				}
				cleanup()
			}
		})
	}
}

// TestCheck wants every problem with its key, and Open to refuse the same.
func TestCheck(t *testing.T) {
	t.Parallel()
	c := &v1.Settings{
		Outbox:      &v1.Outbox{Driver: "file"},
		Dedup:       &v1.Dedup{Driver: "redis", Window: durationpb.New(0)},
		DeadLetters: &v1.DeadLetters{Driver: "sql", ParkLimit: durationpb.New(-time.Second)},
	}
	want := `outbox.path: is empty, want the path of a file
dedup.driver: want sql, memory or none
dead_letters.driver: sql needs a database
dedup.window: is 0s, want more than 0s
dead_letters.park_limit: is -1s, want more than 0s`
	err := stores.Check(c, false)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var setting *event.SettingError
	if !errors.As(err, &setting) || setting.Section != "kratosmqtt.v1.Outbox" {
		t.Errorf("%+v", setting)
	}
	if _, _, err := stores.Open(t.Context(), c, stores.Options{}); err == nil || err.Error() != want {
		t.Errorf("Open: %v", err)
	}
}

// TestOpenClosesWhatItHasOpened fails at the second store.
func TestOpenClosesWhatItHasOpened(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "letters.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &v1.Settings{Outbox: &v1.Outbox{Driver: "file", Path: "outbox.db"}, DeadLetters: &v1.DeadLetters{Path: "letters.db"}}
	if _, _, err := stores.Open(t.Context(), c, stores.Options{Folder: folder}); err == nil || !strings.Contains(err.Error(), "dead letters: ") {
		t.Errorf("err = %v", err)
	}
	c.DeadLetters = nil
	_, cleanup, err := stores.Open(t.Context(), c, stores.Options{Folder: folder}) // the file is free
	if err != nil {
		t.Fatal(err)
	}
	cleanup()
}

// A damaged file is recovered only if OnDamaged is set.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "o.db"), []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &v1.Settings{Outbox: &v1.Outbox{Driver: "file", Path: "o.db"}}
	o := stores.Options{Folder: folder}
	if _, _, err := stores.Open(t.Context(), c, o); !errors.Is(err, outboxfile.ErrCorrupt) {
		t.Errorf("Open with nobody to tell: %v", err)
	}
	var told string
	o.OnDamaged = func(store, report string) { told = store + ": " + report }
	_, cleanup, err := stores.Open(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	cleanup()
	if !strings.HasPrefix(told, "outbox: ") || !strings.Contains(told, "the damaged file is "+folder) {
		t.Errorf("told %q", told)
	}
}

// The files of an outbox and of letters are opened at their path and nowhere else,
// and are for this user only, as are the folders that are made for them.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]func(path string) *v1.Settings{
		"outbox":       func(path string) *v1.Settings { return &v1.Settings{Outbox: &v1.Outbox{Driver: "file", Path: path}} },
		"dead letters": func(path string) *v1.Settings { return &v1.Settings{DeadLetters: &v1.DeadLetters{Path: path}} },
	} {
		folder := t.TempDir()
		target, link := filepath.Join(folder, "target"), filepath.Join(folder, "link")
		if err := os.Symlink(target, link); err != nil {
			t.Skip(err)
		}
		_, _, err := stores.Open(t.Context(), settings(link), stores.Options{OnDamaged: func(store, report string) { t.Error(store, report) }})
		if err == nil || !strings.Contains(err.Error(), "want the path of a file itself") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(target); err == nil {
			t.Errorf("%s: a file was made where the link leads to", name)
		}
		file := filepath.Join(folder, "new", "file.db")
		_, cleanup, err := stores.Open(t.Context(), settings(file), stores.Options{})
		if err != nil {
			t.Fatal(err)
		}
		cleanup()
		for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
	}
}
