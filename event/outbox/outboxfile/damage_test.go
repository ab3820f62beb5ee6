package outboxfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
)

// sample is the bytes of a file with entries, and those, by id. The file has
// branches, pages with overflow, quarantined and deleted entries.
func sample(t *testing.T) (file []byte, want map[string]*outbox.Entry) {
	t.Helper()
	path := newPath(t)
	s := open(t, path, outboxfile.Options{})
	want = map[string]*outbox.Entry{}
	for i := range 40 {
		var group []*outbox.Entry
		for j := range 10 {
			e := outboxtest.Entry("k", 10*i+j)
			e.Payload = bytes.Repeat([]byte{byte(i), byte(j)}, 10+i*j)
			if i == 7 && j == 7 {
				e.Payload = bytes.Repeat([]byte("large"), 4000)
			}
			group = append(group, e)
		}
		if err := s.Append(t.Context(), group...); err != nil {
			t.Fatal(err)
		}
		for _, e := range group {
			want[e.ID] = e
		}
		if err := s.Delete(t.Context(), group[0].Seq, group[5].Seq); err != nil {
			t.Fatal(err)
		}
		delete(want, group[0].ID)
		delete(want, group[5].ID)
	}
	if err := s.Quarantine(t.Context(), want["k-11"].Seq, "bad topic"); err != nil {
		t.Fatal(err)
	}
	delete(want, "k-11")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, want
}

// outcome is what became of a file that was changed.
type outcome struct {
	recovered   *outboxfile.Recovery
	there       int // entries that are as they were
	quarantined int
}

// reopen opens a file with other bytes, and holds the store to what must be
// true of any bytes: no panic, nothing made up, and it goes on to work.
func reopen(t *testing.T, file []byte, want map[string]*outbox.Entry) (out outcome) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "outbox.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := outboxfile.Open(path, outboxfile.Options{OnCorrupt: func(r outboxfile.Recovery) { out.recovered = &r }})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer s.Close()
	if out.recovered != nil {
		if b, err := os.ReadFile(out.recovered.Path); err != nil || !bytes.Equal(b, file) {
			t.Errorf("the damaged file was not kept as it was: %v", err)
		}
	}
	last := uint64(0)
	for {
		es, err := s.Read(t.Context(), last, 50)
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if len(es) == 0 {
			break
		}
		for _, e := range es {
			last = e.Seq
			w := want[e.ID]
			if w == nil {
				continue // had been deleted
			}
			if e.Seq != w.Seq || !reflect.DeepEqual(e.Message, w.Message) {
				t.Errorf("entry %s was changed", e.ID)
			}
			out.there++
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatalf("Stats: %v", err)
	}
	out.quarantined = st.Quarantined
	e := outboxtest.Entry("new", 1)
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatalf("Append: %v", err)
	}
	if e.Seq <= last {
		t.Errorf("new entry has seq %d, the last before it %d", e.Seq, last)
	}
	if err := s.Delete(t.Context(), e.Seq); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	return out
}

func TestGarbageBehindTheFile(t *testing.T) {
	t.Parallel()
	file, want := sample(t)
	for _, n := range []int{1, 100, 4096, 1 << 20} {
		garbage := make([]byte, n)
		for i := range garbage {
			garbage[i] = byte(rand.Uint32())
		}
		if out := reopen(t, append(bytes.Clone(file), garbage...), want); out.there != len(want) || out.recovered != nil {
			t.Errorf("%d bytes: %d of %d entries, recovered %+v", n, out.there, len(want), out.recovered)
		}
	}
}

func TestFault_22_TornTail(t *testing.T) {
	t.Parallel()
	file, want := sample(t)
	used := bytes.TrimRight(file, "\x00") // behind that is room only
	worst := len(want)
	for cut := 100; cut < len(used); cut += len(used)/60 + 1 {
		out := reopen(t, used[:len(used)-cut], want)
		if out.recovered == nil && out.there < len(want) {
			t.Errorf("%d bytes cut: %d of %d entries, and nobody was told", cut, out.there, len(want))
		}
		if cut < len(used)/10 {
			worst = min(worst, out.there)
		}
	}
	if worst < len(want)/4 {
		t.Errorf("up to a tenth was cut, and only %d of %d entries were left", worst, len(want))
	}
	t.Logf("worst with up to a tenth cut: %d of %d", worst, len(want))
	for _, n := range []int{1, 16, 4095, 4096, 8192, 12288} {
		if out := reopen(t, file[:n], want); out.recovered == nil {
			t.Errorf("a file of %d bytes was opened without a word", n)
		}
	}
}

func TestFlippedBits(t *testing.T) {
	t.Parallel()
	file, want := sample(t)
	used := len(bytes.TrimRight(file, "\x00"))
	const meta = 2 * 4096 // by design of bbolt, damage here takes back the last commit
	recovered, quarantined, worst := 0, 0, len(want)
	for range 100 {
		bit := meta*8 + rand.IntN((used-meta)*8)
		b := bytes.Clone(file)
		b[bit/8] ^= 1 << (bit % 8)
		out := reopen(t, b, want)
		if out.recovered != nil {
			recovered++
			worst = min(worst, out.there)
			continue
		}
		quarantined += out.quarantined - 1
		if out.there+out.quarantined != len(want)+1 {
			t.Errorf("bit %d: %d entries, %d quarantined of %d, and nobody was told", bit, out.there, out.quarantined, len(want)+1)
		}
	}
	if recovered == 0 || quarantined == 0 {
		t.Errorf("of 100 flips %d led to a recovery and %d to a quarantined entry: nothing was tested", recovered, quarantined)
	}
	if worst < len(want)/2 {
		t.Errorf("after one flipped bit, only %d of %d entries were left", worst, len(want))
	}
	t.Logf("%d recoveries, at worst %d of %d entries; %d quarantined", recovered, worst, len(want), quarantined)
	for bit := 0; bit < 64*8; bit += 5 { // the meta pages
		for _, page := range []int{16, 4096 + 16} {
			b := bytes.Clone(file)
			b[page+bit/8] ^= 1 << (bit % 8)
			if out := reopen(t, b, want); out.there < len(want)-10 {
				t.Errorf("meta page, bit %d: %d of %d entries", bit, out.there, len(want))
			}
			if bit%8 != 0 { // both in one of eight
				break
			}
		}
	}
}

func TestWildBytes(t *testing.T) {
	t.Parallel()
	file, want := sample(t)
	for range 30 {
		b := bytes.Clone(file)
		for range 1 + rand.IntN(6) { // whole pages and parts, except the meta pages
			at := 8192 + rand.IntN(len(b)-8192)
			for i := at; i < min(len(b), at+rand.IntN(5000)); i++ {
				b[i] = byte(rand.Uint32())
			}
		}
		reopen(t, b, want)
	}
}

// The two pages at the start of a file say where everything is. Without them all
// is still there, and found.
func TestFileWithoutItsStart(t *testing.T) {
	t.Parallel()
	file, want := sample(t)
	b := bytes.Clone(file)
	for i := range 2 * os.Getpagesize() {
		b[i] = byte(rand.Uint32())
	}
	out := reopen(t, b, want)
	if out.recovered == nil || out.there != len(want) {
		t.Errorf("%d of %d entries are there: %+v", out.there, len(want), out.recovered)
	}
}

func TestCorruptFileIsLeftAloneByDefault(t *testing.T) {
	t.Parallel()
	file, _ := sample(t)
	file = file[:len(bytes.TrimRight(file, "\x00"))/2]
	path := filepath.Join(t.TempDir(), "outbox.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := outboxfile.Open(path, outboxfile.Options{}); !errors.Is(err, outboxfile.ErrCorrupt) {
		t.Errorf("Open: %v, want ErrCorrupt", err)
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, file) {
		t.Errorf("the file was touched: %v", err)
	}
	if names, _ := filepath.Glob(path + ".*"); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestCorruptEntryDoesNotBlock(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, outboxfile.Options{})
	for i := range 3 {
		e := outboxtest.Entry("k", i)
		e.Payload = fmt.Appendf(nil, "mark %d", i)
		if err := s.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("mark 0"), []byte("mork 0")), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, outboxfile.Options{})
	es, err := s.Read(t.Context(), 0, 1)
	if err != nil || len(es) != 1 || es[0].ID != "k-1" {
		t.Fatalf("Read: %v, %v", es, err)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Depth != 2 || st.Quarantined != 1 {
		t.Errorf("Stats: %+v, %v", st, err)
	}
	q, err := s.Quarantined(t.Context(), 0, 10)
	if err != nil || len(q) != 1 || q[0].Seq != 1 || q[0].Entry != nil || !bytes.Contains(q[0].Raw, []byte("mork 0")) || q[0].Reason == "" {
		t.Errorf("Quarantined: %+v, %v", q, err)
	}
	if err := s.Quarantine(t.Context(), 2, "refused"); err != nil {
		t.Fatal(err)
	}
	q, err = s.Quarantined(t.Context(), 1, 10)
	if err != nil || len(q) != 1 || q[0].Entry == nil || q[0].Entry.ID != "k-1" || q[0].Reason != "refused" {
		t.Errorf("Quarantined: %+v, %v", q, err)
	}
	if err := s.DeleteQuarantined(t.Context(), 1, 2, 9); err != nil {
		t.Fatal(err)
	}
	if st, _ := s.Stats(t.Context()); st.Quarantined != 0 || st.Depth != 1 {
		t.Errorf("Stats after DeleteQuarantined: %+v", st)
	}
}
