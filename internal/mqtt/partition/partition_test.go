package partition_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/partition"
)

// The rule is part of the contract with devices, so that these values never change.
func TestPartitionOfIsStable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key     string
		n, want int
	}{{"123456789", 16, 6}, {"", 16, 0}, {"device-42", 12, 6}, {"ä", 7, 1}, {"a", 1, 0}, {"a", 0, 0}} {
		if got := event.PartitionOf(tt.key, tt.n); got != tt.want {
			t.Errorf("PartitionOf(%q, %d): got %d, want %d", tt.key, tt.n, got, tt.want)
		}
	}
	used := make(map[int]int)
	for i := range 16_000 {
		used[event.PartitionOf(fmt.Sprintf("device-%d", i), 16)]++
	}
	for n := range 16 {
		if used[n] < 800 || used[n] > 1200 {
			t.Errorf("partition %d has %d keys of 16,000, want about 1,000", n, used[n])
		}
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	for topic, want := range map[string]string{
		"reports/{partition}/event": "reports/7/event", "{partition}": "7", "$share/g/a/{partition}": "$share/g/a/7",
		"a/{partition}x": "", "a/partition": "", "a/+": "",
	} {
		if has := partition.Has(topic); has != (want != "") {
			t.Errorf("Has(%q): got %t", topic, has)
		}
		if got := partition.Place(topic, "7"); want != "" && got != want {
			t.Errorf("Place(%q): got %q, want %q", topic, got, want)
		}
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{"a/{partition}/{id}": "a/{partition}/+", "a/{id}/{partition}": "a/+/{partition}", "a/{b}/{c}": "a/+/+"} {
		if got := partition.Mark("a/+/+", template); got != want {
			t.Errorf("Mark(%q): got %q, want %q", template, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int{
		"0-3,7": {0, 1, 2, 3, 7}, "5": {5}, "3 , 1-2,2": {1, 2, 3}, "all": {0, 1, 2, 3, 4, 5, 6, 7},
		"": nil, "8": nil, "-1": nil, "3-1": nil, "a": nil, "1,,2": nil, "0-8": nil,
	} {
		got, err := partition.Parse(text, 8)
		if (err == nil) != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("Parse(%q): got %v, %v, want %v", text, got, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "want numbers and ranges from 0 to 7") {
			t.Errorf("Parse(%q): got %v", text, err)
		}
	}
	if got := partition.Of(1, 3, 8); !slices.Equal(got, []int{1, 4, 7}) {
		t.Errorf("Of: got %v", got)
	}
}

// A replica that comes or goes moves the partitions that it owns then, and no others.
func TestOnlyTheChangeMoves(t *testing.T) {
	t.Parallel()
	const count = 256
	replicas := []string{"r0", "r1", "r2", "r3"}
	for n := range count {
		before, reversed := partition.Owner(n, replicas), slices.Clone(replicas)
		slices.Reverse(reversed)
		if got := partition.Owner(n, reversed); got != before {
			t.Errorf("partition %d: got %s in another order, want %s", n, got, before)
		}
		if after := partition.Owner(n, append(slices.Clone(replicas), "r4")); after != before && after != "r4" {
			t.Errorf("partition %d moved from %s to %s when r4 came", n, before, after)
		}
		if after := partition.Owner(n, replicas[1:]); before != "r0" && after != before {
			t.Errorf("partition %d moved from %s to %s when r0 went", n, before, after)
		}
	}
	all := 0
	for _, r := range replicas {
		owned := partition.Moved(r, replicas, count)
		if len(owned) < count/8 || len(owned) > count/2 {
			t.Errorf("%s owns %d of %d", r, len(owned), count)
		}
		for n, before := range owned {
			if before == r || before != partition.Owner(n, slices.DeleteFunc(slices.Clone(replicas), func(x string) bool { return x == r })) {
				t.Errorf("partition %d of %s: the owner before is %s", n, r, before)
			}
		}
		all += len(owned)
	}
	if all != count {
		t.Errorf("the replicas own %d of %d", all, count)
	}
	if got := partition.Moved("x", replicas, count); len(got) != 0 {
		t.Errorf("a replica that is not listed owns %v", got)
	}
	if got := partition.Owner(0, nil); got != "" {
		t.Errorf("got %q without replicas", got)
	}
}
