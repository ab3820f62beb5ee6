package outboxfile_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
)

// appendForEver is the child of TestKill: eight writers, and one that deletes.
// It prints "+ id" when an entry is accepted and "- id" before it is deleted.
func appendForEver(path string) int {
	s, err := outboxfile.Open(path, outboxfile.Options{})
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
	accepted := make(chan *outbox.Entry, 1024)
	for range 8 {
		go func() {
			for {
				e := outboxtest.Entry("k", 0)
				e.ID = outbox.NewID()
				e.Payload = make([]byte, rand.IntN(2000))
				if err := s.Append(context.Background(), e); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				say("+ %s", e.ID)
				accepted <- e
			}
		}()
	}
	for e := range accepted {
		if rand.IntN(2) == 0 {
			continue
		}
		say("- %s", e.ID)
		if err := s.Delete(context.Background(), e.Seq); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// A process may be killed at any moment: every accepted entry is there afterwards, and the
// file opens. OUTBOX_KILLS is the number of kills.
func TestKill(t *testing.T) {
	t.Parallel()
	kills := 10
	if s := os.Getenv("OUTBOX_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	path := newPath(t)
	accepted, deleted := map[string]bool{}, map[string]bool{}
	for range kills {
		runAndKill(t, path, accepted, deleted)
		s := open(t, path, outboxfile.Options{})
		there := map[string]bool{}
		for _, id := range ids(t, s) {
			there[id] = true
		}
		for id := range accepted {
			if !deleted[id] && !there[id] {
				t.Errorf("entry %s was accepted and is gone", id)
			}
		}
		st, err := s.Stats(t.Context())
		if err != nil || st.Depth != len(there) || st.Quarantined != 0 {
			t.Errorf("Stats: %+v, %v; %d entries", st, err, len(there))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d accepted, %d deleted, lost 0 unless said above", kills, len(accepted), len(deleted))
	if len(accepted) < 10*kills {
		t.Errorf("only %d entries were accepted: nothing was tested", len(accepted))
	}
}

func runAndKill(t *testing.T, path string, accepted, deleted map[string]bool) {
	t.Helper()
	var stderr strings.Builder
	cmd, out := child(t, "append", path, &stderr)
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		_ = cmd.Wait()
		t.Fatalf("child did not start: %s", stderr.String())
	}
	for left := 20 + rand.IntN(200); lines.Scan(); left-- { // killed after as many lines, however slow the machine is
		if left == 0 {
			_ = cmd.Process.Kill()
		}
		switch op, id, _ := strings.Cut(lines.Text(), " "); {
		case len(id) != 36: // cut by the kill
		case op == "+":
			accepted[id] = true
		case op == "-":
			deleted[id] = true
		}
	}
	_ = cmd.Wait()
	if stderr.Len() > 0 {
		t.Errorf("child: %s", stderr.String())
	}
}

// child starts this test binary as one of the children.
func child(t *testing.T, name, path string, stderr io.Writer) (*exec.Cmd, io.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "OUTBOX_CHILD="+name, "OUTBOX_PATH="+path)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, out
}
