package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// head explains the file to whoever opens it.
const head = "# What the AsyncAPI documents promise. Written and compared by tools/contract.\n"

// Marshal writes a contract as lines in a fixed order, so that a change of it
// is seen in a review.
func (c Contract) Marshal() []byte {
	var b strings.Builder
	b.WriteString(head)
	for _, key := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%s: %s\n", key, c[key])
	}
	return []byte(b.String())
}

// Unmarshal reads what Marshal has written.
func Unmarshal(lock []byte) (Contract, error) {
	c := make(Contract)
	for i, line := range strings.Split(strings.ReplaceAll(string(lock), "\r\n", "\n"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("line %d: %q has not the form key: value", i+1, line)
		}
		c[key] = value
	}
	return c, nil
}

// Change is a difference between two contracts.
type Change struct {
	Key string
	// Old and New are the values; "" for a promise that is not there.
	Old, New string

	// required is set for a new field that a known message must have.
	required bool
}

// Breaking reports whether the other side can notice. A new operation, field or
// value breaks nobody, but for a required field of a message that is there: what
// older publishers send lacks it.
func (c Change) Breaking() bool { return c.Old != "" || c.required }

// String says what changed.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("%s is new: %s", c.Key, c.New)
	case c.New == "":
		return fmt.Sprintf("%s is gone, it was %s", c.Key, c.Old)
	}
	return fmt.Sprintf("%s is %s, it was %s", c.Key, c.New, c.Old)
}

// Compare returns the changes that lead from old to new, in a fixed order.
func Compare(old, current Contract) (changes []Change) {
	all := maps.Clone(old)
	maps.Copy(all, current)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if old[key] != current[key] {
			required := old[key] == "" && strings.HasPrefix(current[key], "required ") && old.hasMessageOf(key)
			changes = append(changes, Change{Key: key, Old: old[key], New: current[key], required: required})
		}
	}
	return changes
}

// hasMessageOf reports whether another field of a field's message is known.
func (c Contract) hasMessageOf(field string) bool {
	message := field[:strings.LastIndexByte(field, '.')+1]
	for key := range c {
		if strings.HasPrefix(key, message) {
			return true
		}
	}
	return false
}
