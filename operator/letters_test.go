package operator_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// causes sets one of three causes of a letter, by n modulo 3.
func causes(n int, l *deadletter.Letter) {
	l.Received = time.Unix(1_699_999_900+int64(n), 0).UTC()
	switch n % 3 {
	case 0:
		l.Reason, l.ErrorType = fmt.Sprintf("customer %d of %q not found", n, l.Topic), "NO_CUSTOMER"
	case 1:
		l.Reason, l.ErrorType = "payload: unexpected EOF", "CODEC"
	case 2:
		l.Reason, l.ErrorType, l.Operation = "payload: unexpected EOF", "CODEC", "/plant.v1.Plants/Save"
	}
}

func ids(page []*deadletter.Letter) (all []string) {
	for _, l := range page {
		all = append(all, l.ID)
	}
	return all
}

// every returns the ids of letters from, from+step … below n.
func every(from, step, n int) (all []string) {
	for i := from; i < n; i += step {
		all = append(all, deadlettertest.ID(i))
	}
	return all
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		const n = 30
		put(t, s, n, causes)
		cause := (&deadletter.Letter{Operation: "/plant.v1.Plants/Save", ErrorType: "CODEC", Reason: "payload: unexpected EOF"}).Fingerprint()
		no, yes := false, true
		for name, test := range map[string]struct {
			criteria operator.Criteria
			want     []string
		}{
			"all":          {operator.Criteria{}, every(0, 1, n)},
			"error type":   {operator.Criteria{Reason: "NO_CUSTOMER"}, every(0, 3, n)},
			"reason":       {operator.Criteria{Reason: "customer 3 of"}, every(3, 100, n)},
			"operation":    {operator.Criteria{Operation: "/plant.v1.Plants/Save"}, every(2, 3, n)},
			"fingerprint":  {operator.Criteria{Fingerprint: cause}, every(2, 3, n)},
			"no such":      {operator.Criteria{Fingerprint: "0000000000000000"}, nil},
			"topic":        {operator.Criteria{Topic: "+/7"}, every(7, 100, n)},
			"topics":       {operator.Criteria{Topic: "plant/#"}, every(0, 1, n)},
			"subscription": {operator.Criteria{Subscription: "plant/+"}, every(0, 1, n)},
			"another":      {operator.Criteria{Subscription: "plant/#"}, nil},
			"origin":       {operator.Criteria{Origin: "plant/9"}, every(9, 100, n)},
			"time":         {operator.Criteria{From: time.Unix(1_699_999_910, 0), To: time.Unix(1_699_999_912, 0)}, every(10, 1, 12)},
			"suspect":      {operator.Criteria{Suspect: &yes}, nil},
			"not suspect":  {operator.Criteria{Suspect: &no, Reason: "CODEC", Topic: "plant/4"}, every(4, 100, n)},
		} {
			page, err := o.List(t.Context(), operator.Query{Criteria: test.criteria})
			if err != nil || page.Next != "" || !slices.Equal(ids(page.Letters), test.want) {
				t.Errorf("%s: %v, next %q, want %v: %v", name, ids(page.Letters), page.Next, test.want, err)
			}
		}
	})
}

func TestListPages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		const n = 25
		put(t, s, n, func(n int, l *deadletter.Letter) {
			if n == 12 {
				l.Payload = []byte(strings.Repeat("x", 40_000))
			}
		})
		for name, test := range map[string]struct {
			q     operator.Query
			pages int
		}{
			"count":   {operator.Query{Limit: 10}, 3},
			"bytes":   {operator.Query{Bytes: 10_000}, 3}, // the large one is a page of its own
			"exactly": {operator.Query{Limit: 25}, 1},
		} {
			var all []string
			pages := 0
			for q := test.q; ; pages++ {
				page, err := o.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, ids(page.Letters)...)
				if q.Cursor = page.Next; q.Cursor == "" {
					pages++
					break
				}
			}
			if pages != test.pages || !slices.Equal(all, every(0, 1, n)) {
				t.Errorf("%s: %d pages, want %d: %v", name, pages, test.pages, all)
			}
		}
	})
}

func TestGroups(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		put(t, s, 31, causes)
		page, err := o.Groups(t.Context(), operator.Query{})
		if err != nil || len(page.Groups) != 3 || page.Next != "" {
			t.Fatalf("%+v, %v", page, err)
		}
		first := page.Groups[0]
		if first.Count != 11 || first.ErrorType != "NO_CUSTOMER" || first.Subscription != "plant/+" || first.Pattern != `customer # of "…" not found` ||
			first.FirstID != deadlettertest.ID(0) || first.LastID != deadlettertest.ID(30) || !first.First.Before(first.Last) {
			t.Errorf("largest group: %+v", first)
		}
		for _, g := range page.Groups {
			found, err := o.List(t.Context(), operator.Query{Criteria: operator.Criteria{Fingerprint: g.Fingerprint}})
			if err != nil || len(found.Letters) != g.Count || found.Letters[0].ID != g.FirstID {
				t.Errorf("group %+v has %d letters: %v", g, len(found.Letters), err)
			}
		}
		page, err = o.Groups(t.Context(), operator.Query{Criteria: operator.Criteria{Operation: "/plant.v1.Plants/Save"}})
		if err != nil || len(page.Groups) != 1 || page.Groups[0].Count != 10 || page.Groups[0].Operation != "/plant.v1.Plants/Save" {
			t.Errorf("groups of an operation: %+v, %v", page, err)
		}
	})
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	o := operator.New(operator.Options{Source: &letters{store: deadletter.NewMemory(0)}})
	for name, q := range map[string]operator.Query{
		"a bad topic":   {Criteria: operator.Criteria{Topic: "a/#/b"}},
		"a large topic": {Criteria: operator.Criteria{Topic: strings.Repeat("+/", 40_000)}},
		"a large text":  {Criteria: operator.Criteria{Reason: strings.Repeat("x", 70_000)}},
		"a limit":       {Limit: 1001},
		"less than 0":   {Limit: -1},
		"bytes":         {Bytes: 1 << 40},
		"a state":       {State: "alive"},
		"times":         {Criteria: operator.Criteria{From: time.Unix(2, 0), To: time.Unix(1, 0)}},
	} {
		if _, err := o.List(t.Context(), q); !errors.Is(err, operator.ErrBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := operator.New(operator.Options{})
	if _, err := none.List(t.Context(), operator.Query{}); !errors.Is(err, operator.ErrUnavailable) {
		t.Errorf("without letters: %v", err)
	}
	if _, err := none.Quarantined(t.Context(), operator.EntryQuery{}); !errors.Is(err, operator.ErrUnavailable) {
		t.Errorf("without a quarantine: %v", err)
	}
}
