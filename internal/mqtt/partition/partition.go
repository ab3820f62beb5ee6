// Package partition assigns partitions of topics to the replicas of a service.
package partition

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// All names all partitions.
const All = "all"

// Has reports whether a topic or filter has a level for the partition.
func Has(topic string) bool {
	return strings.Contains(topic, event.PartitionLevel) && slices.Contains(strings.Split(topic, "/"), event.PartitionLevel)
}

// Place replaces the level for the partition by a text: its number, or a wildcard.
func Place(topic, by string) string {
	levels := strings.Split(topic, "/")
	for i, l := range levels {
		if l == event.PartitionLevel {
			levels[i] = by
		}
	}
	return strings.Join(levels, "/")
}

// Mark returns the filter of a topic template with its level for the partition, which is a
// wildcard in the filter.
func Mark(filter, template string) string {
	if !Has(template) {
		return filter
	}
	levels := strings.Split(filter, "/")
	for i, l := range strings.Split(template, "/") {
		if l == event.PartitionLevel && i < len(levels) {
			levels[i] = l
		}
	}
	return strings.Join(levels, "/")
}

// Parse reads a list of partitions, such as "0-3,7", or all of count.
func Parse(text string, count int) (list []int, err error) {
	if text == All {
		text = "0-" + strconv.Itoa(count-1)
	}
	for item := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(item), "-")
		from, err1 := strconv.Atoi(low)
		to, err2 := from, error(nil)
		if isRange {
			to, err2 = strconv.Atoi(high)
		}
		if err := cmp.Or(err1, err2); err != nil || from < 0 || to < from || to >= count {
			return nil, fmt.Errorf("has %.40q, want numbers and ranges from 0 to %d, as in 0-3,7", item, count-1)
		}
		for n := from; n <= to; n++ {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// Of returns the partitions of a replica by its ordinal, if replicas of them share count.
func Of(ordinal, replicas, count int) (list []int) {
	for n := ordinal; n < count; n += replicas {
		list = append(list, n)
	}
	return list
}

// Owner returns the replica that owns a partition, or "" if there is none. It is the one with
// the highest weight for the partition (rendezvous hashing), so that a replica that comes or
// goes moves its own partitions only. The order of the replicas has no influence.
func Owner(n int, replicas []string) (owner string) {
	var most uint64
	for _, r := range replicas {
		w := weight(n, r)
		if owner == "" || w > most || w == most && r < owner {
			owner, most = r, w
		}
	}
	return owner
}

// weight is the FNV-1a hash of the partition and the replica, mixed so that names that differ
// in their last character only have unrelated weights.
func weight(n int, replica string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strconv.Itoa(n) + "/" + replica))
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Moved returns the partitions that a replica owns among replicas, each with its owner among
// the others.
func Moved(self string, replicas []string, count int) (owned map[int]string) {
	owned = make(map[int]string)
	others := slices.DeleteFunc(slices.Clone(replicas), func(r string) bool { return r == self })
	if len(others) == len(replicas) {
		return owned
	}
	for n := range count {
		if Owner(n, replicas) == self {
			owned[n] = Owner(n, others)
		}
	}
	return owned
}
