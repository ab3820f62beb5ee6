package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// head explains the file to its readers.
const head = "# What the AsyncAPI documents promise. Written and compared by tools/contract.\n"

// Marshal writes a contract as lines in a fixed order, so that changes are visible in a
// review.
func (c Contract) Marshal() []byte {
	var b strings.Builder
	b.WriteString(head)
	for _, key := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%s: %s\n", key, c[key])
	}
	return []byte(b.String())
}

// Unmarshal reads the output of Marshal.
func Unmarshal(lock []byte) (Contract, error) {
	c := make(Contract)
	for i, line := range strings.Split(strings.ReplaceAll(string(lock), "\r\n", "\n"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("line %d: %q does not have the form key: value", i+1, line)
		}
		c[key] = value
	}
	return c, nil
}

// Change is a difference between two contracts.
type Change struct {
	Key string
	// Old and New are the values; "" means that the contract does not have the key.
	Old, New string

	// required reports that a known message has a new required field.
	required bool
}

// Breaking reports whether existing publishers or subscribers can notice the change. New
// operations, fields and values break nothing, except a required field of an existing
// message, which older publishers do not send.
func (c Change) Breaking() bool { return c.Old != "" || c.required }

// String describes the change.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("%s is new: %s", c.Key, c.New)
	case c.New == "":
		return fmt.Sprintf("%s was removed, it was %s", c.Key, c.Old)
	}
	return fmt.Sprintf("%s is %s, it was %s", c.Key, c.New, c.Old)
}

// Compare returns the changes from old to current, in a fixed order.
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

// hasMessageOf reports whether the contract has another field of the field's message.
func (c Contract) hasMessageOf(field string) bool {
	message := field[:strings.LastIndexByte(field, '.')+1]
	for key := range c {
		if strings.HasPrefix(key, message) {
			return true
		}
	}
	return false
}
