package outbox_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/costtest"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// openKind opens a durable store of a kind.
func openKind(kind, path string) (s outboxtest.DelayedStore, shut func() error, err error) {
	if kind == "file" {
		f, err := outboxfile.Open(path, outboxfile.Options{MaxDelayed: 1 << 20})
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, nil
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, nil, err
	}
	t, err := outboxsql.New(db, outboxsql.Options{MaxDelayed: 1 << 20, Lease: 100 * time.Millisecond}) // that of a killed process ends soon
	if err == nil {
		err = t.Migrate(context.Background())
	}
	return t, func() error { _ = t.Close(); return db.Close() }, err
}

// delayForEver is the child of TestKilledWhileDelayed: writers whose entries are due soon, late or
// cancelled, and one that moves those that are due. It prints "+ id" when an entry is delayed, and
// "- id" before it is cancelled.
func delayForEver(kind, path string) int {
	s, _, err := openKind(kind, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var mu sync.Mutex
	say := func(format string, args ...any) { // one write a line
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	say("open")
	ctx := context.Background()
	failed := make(chan error)
	for w := range 4 {
		go func() {
			for n := 0; ; n++ {
				e := &outbox.Entry{Message: message.Message{Topic: "t", Payload: make([]byte, 100)}, ID: outbox.NewID(), Key: fmt.Sprint(w)}
				e.Due = time.Now().Add(time.Duration(n%3) * 20 * time.Millisecond)
				if n%5 == 0 {
					e.Due = time.Now().Add(time.Hour)
				}
				if err := s.Append(ctx, e); err != nil {
					failed <- err
				}
				say("+ %s", e.ID)
				if n%10 == 0 {
					say("- %s", e.ID)
					if n, err := s.Cancel(ctx, e.ID); err != nil || n != 1 {
						failed <- fmt.Errorf("cancelled %d: %w", n, err)
					}
				}
			}
		}()
	}
	go func() {
		for {
			_, err := s.Hold(ctx)
			if err == nil {
				_, _, err = s.Release(ctx, time.Now(), 10)
			}
			if err != nil && !errors.Is(err, outbox.ErrNotHolder) { // the lease of the process before may last
				failed <- err
			}
		}
	}()
	fmt.Fprintln(os.Stderr, <-failed)
	return 1
}

// A process that is killed at any moment loses no delayed entry: each is delayed or waits, once,
// unless it was cancelled, and those that are due join after the next start.
func TestKilledWhileDelayed(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"file", "sqlite"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "outbox")
			accepted, canceled := map[string]bool{}, map[string]bool{}
			kills := 5
			for range kills {
				killDelaying(t, kind, path, accepted, canceled)
				where := placesAfterAKill(t, kind, path)
				for id := range accepted {
					if n := len(where[id]); n != 1 && (n != 0 || !canceled[id]) {
						t.Errorf("entry %s is in %v, want one of them", id, where[id])
					}
				}
			}
			t.Logf("figure: %d kills, %d delayed, %d cancelled", kills, len(accepted), len(canceled))
			if len(accepted) < 50*kills {
				t.Errorf("only %d entries were accepted: nothing was tested", len(accepted))
			}
		})
	}
}

// placesAfterAKill moves what is due, and returns where each entry is.
func placesAfterAKill(t *testing.T, kind, path string) map[string][]string {
	t.Helper()
	s, shut, err := openKind(kind, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = shut() }()
	ctx := t.Context()
	now := time.Now()
	mqtttest.Eventually(t, time.Minute, func() error { // the lease of the child ends by itself
		moved := 1
		_, err := s.Hold(ctx)
		for moved > 0 && err == nil {
			moved, _, err = s.Release(ctx, now, 1000)
		}
		return err
	})
	where := map[string][]string{}
	var delayed, waiting int
	for page, err := s.Delayed(ctx, nil, 100); len(page) > 0 || err != nil; page, err = s.Delayed(ctx, page[len(page)-1], 100) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			delayed++
			where[e.ID] = append(where[e.ID], "delayed")
			if !e.Due.After(now) {
				t.Errorf("entry %s is due since %v", e.ID, now.Sub(e.Due))
			}
		}
	}
	for page, err := s.Read(ctx, 0, 100); len(page) > 0 || err != nil; page, err = s.Read(ctx, page[len(page)-1].Seq, 100) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			waiting++
			where[e.ID] = append(where[e.ID], "waiting")
		}
	}
	if st, err := s.Stats(ctx); err != nil || st.Depth != waiting || st.Delayed != delayed {
		t.Errorf("Stats: %+v, %v; want %d waiting, %d delayed", st, err, waiting, delayed)
	}
	return where
}

func killDelaying(t *testing.T, kind, path string, accepted, canceled map[string]bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "OUTBOX_CHILD="+kind, "OUTBOX_PATH="+path)
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for left := 200; lines.Scan(); left-- { // killed after as many lines, however slow the machine is
		if left == 0 {
			_ = cmd.Process.Kill()
		}
		switch op, id, _ := strings.Cut(lines.Text(), " "); {
		case len(id) != 36: // cut by the kill
		case op == "+":
			accepted[id] = true
		case op == "-":
			canceled[id] = true
		}
	}
	_ = cmd.Wait()
	if stderr.Len() > 0 {
		t.Errorf("child: %s", stderr.String())
	}
}

// BenchmarkDelayedGrowth is what operations cost beside so many delayed entries:
//
//	go test -run xxx -bench DelayedGrowth -benchtime 50x ./event/outbox
func BenchmarkDelayedGrowth(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, kind := range []string{"file", "sqlite"} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) { measureDelayed(b, kind, n) })
		}
	}
}

func measureDelayed(b *testing.B, kind string, n int) {
	b.Helper()
	s, shut, err := openKind(kind, filepath.Join(b.TempDir(), "outbox"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = shut() }()
	ctx, start := b.Context(), time.Now().Add(time.Hour)
	one := func(i int, due time.Time) *outbox.Entry {
		return &outbox.Entry{Message: message.Message{Topic: fmt.Sprint("t/", i%1000), Payload: make([]byte, 100), QoS: 1}, ID: fmt.Sprint(i), Due: due}
	}
	fail := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; i < n; {
		var es []*outbox.Entry
		for ; len(es) < 1000 && i < n; i++ {
			es = append(es, one(i, start.Add(time.Duration(i*7919%n)*time.Second)))
		}
		fail(s.Append(ctx, es...))
	}
	_, err = s.Hold(ctx)
	fail(err)
	_, err = s.Stats(ctx)
	fail(err)
	times := costtest.New(b)
	timed := func(name string, do func() error) { times.Do(name, do) }
	next := n
	for b.Loop() {
		next++
		e := one(next, start.Add(-time.Minute))
		timed("delay", func() error { return s.Append(ctx, e) })
		timed("release-none", func() error { _, _, err := s.Release(ctx, time.Now(), 256); return err })
		timed("release-1", func() error {
			if _, err := s.Hold(ctx); err != nil {
				return err
			}
			n, _, err := s.Release(ctx, start.Add(-time.Second), 256)
			if err == nil && n != 1 {
				err = fmt.Errorf("%d were released", n)
			}
			return err
		})
		e = one(next, start.Add(time.Hour))
		fail(s.Append(ctx, e))
		timed("cancel", func() error { _, err := s.Cancel(ctx, e.ID); return err })
		timed("list-100", func() error { _, err := s.Delayed(ctx, nil, 100); return err })
		timed("stats", func() error { _, err := s.Stats(ctx); return err })
		timed("append", func() error { return s.Append(ctx, one(next, time.Time{})) })
	}
	times.Report()
}
