package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
)

// report reads the files of the children, which must have ended.
func (r *run) report() *Report {
	v := newVerdict(r.o.Seed)
	problems := []error{r.logs(v)} //nolint:prealloc // there are few
	for _, s := range r.consumers {
		problems = append(problems, letters(lettersPath(s.child.cfg.Dir), v))
	}
	for _, s := range r.publishers {
		problems = append(problems, waiting(outboxPath(s.child.cfg.Dir), v))
	}
	for _, s := range append(r.publishers, r.consumers...) {
		problems = append(problems, noSecret(logPath(s.child.cfg.Dir)))
	}
	report := v.report()
	report.Problems = noNil(append(problems, r.fleet.verdict()))
	report.Kinds = make(map[string]int)
	for _, k := range r.kinds {
		report.Kinds[k.name] = r.injected[k.name]
	}
	report.Faults, report.Refused = r.total(), r.refused
	report.Ordered = r.fleet.ordered()
	return report
}

func (r *run) logs(v *verdict) error {
	errs := make([]error, 0, 2*pairs)
	for _, s := range r.publishers {
		errs = append(errs, readLog(acceptedPath(s.child.cfg.Dir), v.accept))
	}
	for _, s := range r.consumers {
		errs = append(errs, readLog(handledPath(s.child.cfg.Dir), v.handle))
	}
	return errors.Join(errs...)
}

// letters reads the dead and the parked messages.
func letters(path string, v *verdict) error {
	store, err := deadletterfile.Open(path, deadletterfile.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	q := deadletter.Query{Limit: 1000}
	for {
		page, err := store.List(context.Background(), q)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, l := range page {
			i, ok := idOf(l.Payload)
			if !ok {
				return fmt.Errorf("dead letter %s has no id", l.ID)
			}
			v.dead(i)
		}
		q.After = page[len(page)-1].ID
	}
}

// waiting reads the entries of an outbox.
func waiting(path string, v *verdict) error {
	store, err := outboxfile.Open(path, outboxfile.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	for after := uint64(0); ; {
		page, err := store.Read(context.Background(), after, 1000)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, e := range page {
			i, ok := idOf(e.Payload)
			if !ok {
				return fmt.Errorf("outbox entry %d has no id", e.Seq)
			}
			v.outbox(i)
			after = e.Seq
		}
	}
}

func idOf(payload []byte) (id, bool) {
	if len(payload) < idSize {
		return id{}, false
	}
	return parseID(string(payload[:idSize]))
}

// noSecret searches the output of a child for the planted password.
func noSecret(path string) error {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if bytes.Contains(b, []byte(password)) {
		return fmt.Errorf("%s holds the password", path)
	}
	return nil
}

func noNil(errs []error) (some []error) {
	for _, err := range errs {
		if err != nil {
			some = append(some, err)
		}
	}
	return some
}
