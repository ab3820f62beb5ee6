package sequence

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// However many sources, or topics, a device makes up, what another one misses is
// noticed.
func TestNobodyIsBlindedBySomebodyElse(t *testing.T) {
	t.Parallel()
	for name, topic := range map[string]func(i int) string{
		"sources of one topic":    func(int) string { return "devices/A/data" },
		"topics of one device":    func(i int) string { return fmt.Sprintf("devices/A/%d", i) },
		"topics with many levels": func(i int) string { return "devices/A" + strings.Repeat("/x", i%100) + fmt.Sprint("/", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := watching()
			g.arrived("devices/B/data", "b", 1)
			for i := range maxSeries + 1 {
				g.arrived(topic(i), fmt.Sprint("a", i), 1)
			}
			g.arrived("devices/B/data", "b", 993)
			if n := g.missing.Load(); n != 991 {
				t.Errorf("%d missing messages of B are reported, want 991", n)
			}
			if n := g.forgotten.Load(); n == 0 {
				t.Error("nothing is said of what was forgotten")
			}
		})
	}
}

// A number that cannot be is one finding, and no number of missing messages.
func TestJumpIsOneFinding(t *testing.T) {
	t.Parallel()
	var told []event.GapInfo
	g := telling(func(i event.GapInfo) { told = append(told, i) })
	for _, n := range []uint64{1, math.MaxInt32 + 1, math.MaxInt32 + 2, math.MaxInt32 + 5} {
		g.arrived("devices/A/data", "a", n)
	}
	if g.missing.Load() != 2 || g.jumps.Load() != 1 || len(told) != 2 || !told[0].Jump || told[0].Missing != 0 || told[1].Missing != 2 {
		t.Errorf("missing %d, %d jumps, told %+v", g.missing.Load(), g.jumps.Load(), told)
	}
}

// What a publisher can have sent is believed: a lost backlog, and an outage of hours.
func TestWhatCanBeIsBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := watching()
		g.arrived("t", "s", 1)
		g.arrived("t", "s", 50_002)
		<-time.After(time.Hour)
		g.arrived("t", "s", 10_050_003)
		if g.missing.Load() != 10_050_000 || g.jumps.Load() != 0 {
			t.Errorf("missing %d, %d jumps", g.missing.Load(), g.jumps.Load())
		}
	})
}

// A full table makes room for topics with few series at the cost of those with the most;
// among equals the least recently used series is removed.
func TestRoomIsMadeWhereMostIs(t *testing.T) {
	t.Parallel()
	var table table
	for i := range maxSeries {
		table.find("s", fmt.Sprintf("devices/%d/data", i))
	}
	table.find("s", "devices/0/data") // used again
	if _, lost := table.find("s", "devices/new/data"); lost != "devices/1/data" {
		t.Errorf("%q was forgotten", lost)
	}
	for i := range 10 {
		if _, lost := table.find("s", fmt.Sprintf("devices/new/%d", i)); i > 0 && !strings.HasPrefix(lost, "devices/new/") {
			t.Errorf("%q was forgotten for the %d. of one device", lost, i)
		}
	}
}

// The table keeps its own books, whatever comes.
func TestGapTableAgainstItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var table table
		level := rapid.SampledFrom([]string{"", "a", "b", "c"})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 && table.root.count > 0 {
				table.evict()
				continue
			}
			topic := strings.Join(rapid.SliceOfN(level, 1, maxLevels+2).Draw(t, "topic"), "/")
			source := fmt.Sprint(rapid.IntRange(0, maxSources+1).Draw(t, "source"))
			if s, _ := table.find(source, topic); s.source != source {
				t.Fatalf("found %q", s.source)
			}
		}
		total := 0
		for name, of := range table.topics {
			if total += len(of.series); len(of.series) == 0 || len(of.series) > maxSources || of.name != name {
				t.Fatalf("topic %q has %d series", name, len(of.series))
			}
		}
		if n := books(t, &table.root); n != total {
			t.Fatalf("%d series in shares, %d in topics", n, total)
		}
	})
}

// books counts a share anew.
func books(t *rapid.T, s *share) (n int) {
	for e := s.topics.Front(); e != nil; e = e.Next() {
		n += len(e.Value.(*seriesOf).series)
	}
	if n != s.own || len(s.heap) != len(s.below) {
		t.Fatalf("%d series of its own, want %d; %d shares in the heap, %d below", s.own, n, len(s.heap), len(s.below))
	}
	for i, c := range s.heap {
		if c.place != i || s.below[c.level] != c || c.count == 0 {
			t.Fatalf("share %q is at %d of %d", c.level, c.place, i)
		}
		n += books(t, c)
	}
	if n != s.count {
		t.Fatalf("%d series, want %d", s.count, n)
	}
	return n
}
