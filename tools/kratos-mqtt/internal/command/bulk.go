package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

// bulk is an act on many letters or entries. It takes one call of the service after another,
// each of which goes on at the cursor of the one before.
type bulk struct {
	s *session
	// verb names the act, did what it has done, and what the things.
	verb, did, what string
	// deletes is set if the act cannot be undone.
	deletes bool

	all, dry, yes bool
	limit         int64
	rate          float64
	cursor, by    string
	named         bool // by ids
	total         operatorv1.Outcome
	counted       int64 // before it asked
	most          int64 // what somebody has agreed to; 0 means no limit
}

// step is one call.
type step struct {
	dry    bool
	limit  int32
	rate   float64
	cursor string
	by     string
}

// within is the time of one call, after which it shows how far it is.
const within = time.Second

// maxCount is how many things are counted before somebody is asked.
const maxCount = 100_000

// maxProblems is how many problems are kept.
const maxProblems = 100

func (b *bulk) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&b.all, "all", false, "all "+b.what)
	f.BoolVarP(&b.dry, "dry-run", "n", false, "change nothing: count, and show what would fail")
	f.BoolVarP(&b.yes, "yes", "y", false, "do not ask")
	f.Int64Var(&b.limit, "limit", 0, "how many at most; 0 means no limit")
	f.Float64Var(&b.rate, "rate", 0, "how many a second at most; 0 means no limit")
	f.StringVar(&b.cursor, "cursor", "", "go on where an earlier command ended, with the same selection")
	byFlag(c, &b.by)
}

// check returns what is wrong with the selection.
func (b *bulk) check(c *cobra.Command, named, narrowed bool) error {
	b.named = named
	switch {
	case named && (narrowed || b.all), narrowed && b.all:
		return usageError(c, "ids, a selection by flags, or --all: want one of them")
	case !named && !narrowed && !b.all:
		return usageError(c, "want ids, a selection by flags, or --all")
	case b.limit < 0 || b.rate < 0 || math.IsNaN(b.rate):
		return usageError(c, "--limit and --rate: want 0 or more")
	}
	return nil
}

// run carries the act out, after it has asked.
func (b *bulk) run(ctx context.Context, call func(context.Context, step) (*operatorv1.Outcome, error)) error {
	b.by = b.s.person(b.by)
	if !b.dry {
		switch err := b.ask(ctx, call); {
		case errors.Is(err, errNothing):
			return b.write()
		case err != nil:
			return err
		}
	}
	err := b.work(ctx, call, b.dry, &b.total)
	if err != nil && b.total.GetSelected() == 0 {
		return err
	}
	if written := b.write(); written != nil {
		return errors.Join(err, written)
	}
	switch {
	case err != nil && b.total.GetNext() != "":
		return fmt.Errorf("%w; to go on: the same command with --cursor %s", err, printable(b.total.GetNext()))
	case err != nil:
		return err
	case !b.dry && b.total.GetFailed()+b.total.GetHeld() > 0:
		return fmt.Errorf("%d of %s left", b.total.GetFailed()+b.total.GetHeld(), things(b.total.GetSelected(), b.what))
	}
	return nil
}

// errNothing is the result of asking if nothing is selected.
var errNothing = errors.New("nothing is selected")

// ask counts what is selected, and asks. What somebody has named by ids is not asked for, unless
// it is deleted. What comes later than the question is left alone: the oldest are first.
func (b *bulk) ask(ctx context.Context, call func(context.Context, step) (*operatorv1.Outcome, error)) error {
	if b.yes || b.named && !b.deletes {
		return nil
	}
	if !b.s.Interactive {
		return b.s.confirm(false, "%s %s", b.verb, b.what)
	}
	count := bulk{s: b.s, what: b.what, cursor: b.cursor, by: b.by, limit: maxCount}
	if b.limit > 0 {
		count.limit = min(b.limit, maxCount)
	}
	if err := count.work(ctx, call, true, &count.total); err != nil {
		return err
	}
	b.counted, b.most = count.total.GetSelected(), count.total.GetSelected()
	what := things(b.counted, b.what)
	switch {
	case b.counted == 0:
		return errNothing
	case count.total.GetNext() != "" && b.counted == maxCount:
		what, b.most = fmt.Sprintf("%d or more %s", b.counted, b.what), 0
	}
	if n := count.total.GetFailed(); n > 0 {
		what += fmt.Sprintf(" (%d of them cannot be)", n)
	}
	return b.s.confirm(false, "%s %s", b.verb, what)
}

// work calls until nothing is left, and adds up the outcomes.
func (b *bulk) work(ctx context.Context, call func(context.Context, step) (*operatorv1.Outcome, error), dry bool, total *operatorv1.Outcome) error {
	line := b.s.statusLine()
	defer line.clear()
	total.Next = b.cursor
	var walk service.Walk
	for {
		left := b.room() - total.GetSelected()
		begin := time.Now()
		whole, cancel := toTheEnd(ctx)
		out, err := call(whole, step{dry: dry, limit: int32(min(left, maxPage)), rate: b.rate, cursor: total.GetNext(), by: b.by})
		cancel()
		if err != nil {
			return explained(err)
		}
		before := total.GetNext()
		add(total, out)
		so := things(total.GetSelected(), b.what)
		if b.counted > 0 {
			so = fmt.Sprintf("%d of %s", total.GetSelected(), things(b.counted, b.what))
		}
		line.showf("%s, %d failed, %d held", so, total.GetFailed(), total.GetHeld())
		switch {
		case out.GetError() != "":
			return errors.New(printable(out.GetError()))
		case out.GetNext() == "":
			return nil
		case total.GetSelected() >= b.room():
			return nil
		case out.GetSelected() > 0:
			walk = service.Walk{}
		default:
			if err := walk.Next(before, out.GetNext()); err != nil {
				return err
			}
		}
		if err := b.pace(ctx, begin, out.GetDone()+out.GetFailed()); err != nil {
			return err
		}
	}
}

// room returns how many may be taken.
func (b *bulk) room() int64 {
	room := int64(math.MaxInt64)
	for _, limit := range []int64{b.limit, b.most} {
		if limit > 0 {
			room = min(room, limit)
		}
	}
	return room
}

// pace waits until the rate allows the next call, of which the service knows nothing.
func (b *bulk) pace(ctx context.Context, begin time.Time, n int64) error {
	wait := time.Duration(0)
	if b.rate > 0 {
		wait = time.Duration(float64(n)/b.rate*float64(time.Second)) - time.Since(begin)
	}
	if until(ctx, time.Now().Add(wait)) != nil {
		return errors.New("interrupted")
	}
	return nil
}

// add adds the outcome of a call to those before.
func add(total, out *operatorv1.Outcome) {
	total.Selected += out.GetSelected()
	total.Done += out.GetDone()
	total.Failed += out.GetFailed()
	total.Held += out.GetHeld()
	total.Incomplete = total.GetIncomplete() || out.GetIncomplete()
	total.Next, total.Error = out.GetNext(), out.GetError()
	if room := maxProblems - len(total.GetProblems()); room > 0 {
		total.Problems = append(total.Problems, out.GetProblems()[:min(room, len(out.GetProblems()))]...)
	}
}

// things returns a number with its noun, which is in the plural.
func things(n int64, nouns string) string {
	if n == 1 {
		nouns = strings.TrimSuffix(nouns, "s")
	}
	return fmt.Sprintf("%d %s", n, nouns)
}

// write writes the outcome.
func (b *bulk) write() error {
	if b.s.json {
		return b.s.writeJSON(asJSON(&b.total))
	}
	did, n := b.did, b.total.GetDone()
	if b.dry {
		did, n = "would have "+b.did, b.total.GetSelected()-b.total.GetFailed()-b.total.GetHeld()
	}
	fmt.Fprintf(b.s.Out, "%s %d, %d failed, %d held\n", did, n, b.total.GetFailed(), b.total.GetHeld())
	if b.total.GetIncomplete() {
		fmt.Fprintln(b.s.Out, "the store could not read all of them")
	}
	if b.limit > 0 && b.total.GetNext() != "" {
		fmt.Fprintf(b.s.Out, "there may be more: --cursor %s\n", printable(b.total.GetNext()))
	}
	if len(b.total.GetProblems()) == 0 {
		return nil
	}
	t := b.s.table("id", "topic", "key", "error")
	for _, p := range b.total.GetProblems() {
		id := p.GetId()
		if p.GetSeq() > 0 {
			id = strconv.FormatUint(p.GetSeq(), 10)
		}
		t.add(nil, id, p.GetTopic(), p.GetKey(), p.GetError())
	}
	t.leaveOutEmpty()
	return t.write()
}
