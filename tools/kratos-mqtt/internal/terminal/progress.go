package terminal

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// every is how often a line is written where no bar can be drawn.
const every = 5 * time.Second

// Progress shows how much of a long work is done, and its rate: a bar on a terminal, elsewhere
// a line every five seconds. It is safe for concurrent use.
type Progress struct {
	noun  string
	total int64
	began time.Time
	done  atomic.Int64
	bars  *mpb.Progress
	bar   *mpb.Bar
	quit  chan struct{}
	ended chan struct{}
}

// NewProgress starts to show progress on w, which is standard error, so that the output of a
// command can be piped. noun is what is counted, in the plural. A total of 0 is unknown. End
// must be called.
func NewProgress(w io.Writer, noun string, total int64) *Progress {
	p := &Progress{noun: noun, total: total, began: time.Now(), quit: make(chan struct{}), ended: make(chan struct{})}
	if IsTerminal(w) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(60))
		p.bar = p.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(noun+" "), decor.Any(func(decor.Statistics) string { return p.count() })),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.rate() })),
		)
		close(p.ended)
		return p
	}
	go p.lines(w)
	return p
}

// IsTerminal reports whether a writer is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}

// Add counts n more.
func (p *Progress) Add(n int64) {
	p.done.Add(n)
	if p.bar != nil {
		p.bar.IncrInt64(n)
	}
}

// Done returns how many were counted.
func (p *Progress) Done() int64 { return p.done.Load() }

// End stops showing progress and waits until nothing more is written. It must be called once.
func (p *Progress) End() {
	close(p.quit)
	if p.bar != nil {
		p.bar.SetTotal(p.Done(), true)
		p.bars.Wait()
	}
	<-p.ended
}

func (p *Progress) lines(w io.Writer) {
	defer close(p.ended)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			_, _ = fmt.Fprintf(w, "%s %s, %s\n", p.count(), p.noun, p.rate())
		}
	}
}

func (p *Progress) count() string {
	if p.total > 0 {
		return fmt.Sprintf("%d of %d", p.Done(), p.total)
	}
	return strconv.FormatInt(p.Done(), 10)
}

func (p *Progress) rate() string {
	return fmt.Sprintf("%.0f/s", float64(p.Done())/max(time.Since(p.began).Seconds(), 1e-3))
}
