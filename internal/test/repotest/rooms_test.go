package repotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// levels are the rooms inside the library, from the bottom up. A room imports only
// rooms of lower levels. From a room of a higher or the same level it receives values
// or functions. A room may have smaller rooms in folders below it, which do not import
// it.
func levels() [][]string {
	return [][]string{
		{"logsafe", "bounds", "ownfile", "queue", "identity", "partition"},
		{"wire", "decode"},
		{"link", "delivery", "topic"},
		{"session", "eventproto"},
		{"envelope", "hook", "semconv"},
		{"parking", "outbox", "request", "sequence"},
		{"client"},
		{"option"},
		{"operation"},
	}
}

const inside = "./internal/mqtt/"

// roomOf returns the room of a package and its level, or "" if the package is not in a
// room.
func roomOf(pkg string) (room string, level int) {
	path, ok := strings.CutPrefix(pkg, inside)
	if !ok {
		return "", 0
	}
	room, _, _ = strings.Cut(path, "/")
	return room, slices.IndexFunc(levels(), func(rooms []string) bool { return slices.Contains(rooms, room) })
}

// upward returns the imports between rooms that do not lead to a lower level, with
// their reasons.
func (g graph) upward() (breaches []string) {
	for _, pkg := range slices.Sorted(maps.Keys(g)) {
		room, level := roomOf(pkg)
		if room == "" {
			continue
		}
		if level < 0 {
			breaches = append(breaches, fmt.Sprintf("%s: %s is no room: give it a level in rooms_test.go, or the code a room that is there", pkg, room))
			continue
		}
		for _, path := range g[pkg] {
			other, below := roomOf(path)
			switch {
			case other == "":
			case other == room:
				if strings.HasPrefix(pkg, path+"/") {
					breaches = append(breaches, fmt.Sprintf("%s → %s: what is below a room does not import it", pkg, path))
				}
			case below >= level:
				breaches = append(breaches, fmt.Sprintf("%s → %s: arrows between rooms lead down; hand a value or a function to %s", pkg, path, room))
			}
		}
	}
	return breaches
}

func TestRoomsImportDownwards(t *testing.T) {
	t.Parallel()
	for _, breach := range loadGraph(t, inside+"...").upward() {
		t.Error(breach)
	}
}

func TestUpwardImportsAreNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from, to, want string
	}{
		"down":            {"client", "parking", ""},
		"skipping":        {"client", "logsafe", ""},
		"own smaller one": {"parking", "parking/retained", ""},
		"up":              {"session", "client", "./internal/mqtt/session → ./internal/mqtt/client: arrows"},
		"beside":          {"link", "topic", "./internal/mqtt/link → ./internal/mqtt/topic: arrows"},
		"own larger one":  {"parking/retained", "parking", "./internal/mqtt/parking/retained → ./internal/mqtt/parking: what is below"},
		"no room":         {"cellar", "wire", "./internal/mqtt/cellar: cellar is no room"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := graph{inside + tt.from: {inside + tt.to, "strings"}}.upward()
			if len(got) != min(1, len(tt.want)) || len(got) == 1 && !strings.HasPrefix(got[0], tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
