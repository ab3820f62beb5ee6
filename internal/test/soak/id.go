package soak

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// id identifies a message by its publisher, its worker, which is also its ordering key, and
// its position in that order.
type id struct {
	publisher, worker, number int
}

// idSize is the length of every id, so that the size of a log file determines the number of
// ids in it.
const idSize = len("p0-w00-0000000")

func (i id) String() string { return fmt.Sprintf("p%d-w%02d-%07d", i.publisher, i.worker, i.number) }

func (i id) topic() string { return fmt.Sprintf("chain/%d/%d", i.publisher, i.worker) }

// qos returns the QoS of the worker, because MQTT keeps no order between QoS levels.
func (i id) qos() byte {
	if i.worker%8 == 0 {
		return 2
	}
	return 1
}

// parseID reports whether s is an id.
func parseID(s string) (i id, ok bool) {
	if len(s) != idSize || s[0] != 'p' {
		return id{}, false
	}
	parts := strings.Split(s[1:], "-")
	if len(parts) != 3 || !strings.HasPrefix(parts[1], "w") {
		return id{}, false
	}
	for n, part := range []string{parts[0], parts[1][1:], parts[2]} {
		v, err := strconv.Atoi(part)
		if err != nil {
			return id{}, false
		}
		*[]*int{&i.publisher, &i.worker, &i.number}[n] = v
	}
	return i, true
}

// fate is what the handler does with a message: random, but the same in every process of a
// run.
type fate int

const (
	fine   fate = iota
	fails       // an error at the first attempt
	panics      // a panic at the first attempt
	poison      // an error that retries do not solve
	stuck       // errors for longer than the retry budget
	slow        // takes its time
	nFates      // how many there are
)

// outOf is the denominator of the probabilities of fates.
const outOf = 12_000

func (f fate) String() string {
	return [...]string{"fine", "fails", "panics", "poison", "stuck", "slow"}[f]
}

func (i id) fate(seed uint64) fate {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", seed, i)
	switch n := h.Sum64() % outOf; {
	case n < 60:
		return fails
	case n < 72:
		return panics
	case n < 84:
		return poison
	case n < 87:
		return stuck
	case n < 99:
		return slow
	}
	return fine
}
