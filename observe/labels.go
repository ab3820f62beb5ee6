package observe

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// label is what the attributes of a measurement are made of.
type label struct {
	operation string
	filter    string
	template  string
	name      string // of the operation that a generated handler implements
	client    string
	loss      event.LossKind
	err       string
}

// series are the counts of a label, and its attributes in the form that histograms take.
type series struct {
	set    attribute.Set
	record []metric.RecordOption
	counts [counters]atomic.Int64
}

func newSeries(attributes ...attribute.KeyValue) *series {
	set := attribute.NewSet(attributes...)
	return &series{set: set, record: []metric.RecordOption{metric.WithAttributeSet(set)}}
}

// labels remembers the series of each label: making a set of attributes takes longer than
// the measurement itself.
type labels struct {
	known sync.Map // label to *series
	count atomic.Int64
	rest  *series // of labels beyond the bound
}

// maxLabels bounds what is remembered, because the reason of a handler's error may be any
// text. Further labels share a series with the attribute that OpenTelemetry's SDK uses for
// this.
const maxLabels = 1900

const overflow = attribute.Key("otel.metric.overflow")

func (c *labels) of(m *Metrics, l label) *series {
	if s, ok := c.known.Load(l); ok {
		return s.(*series) //nolint:forcetypeassert // nothing else is stored
	}
	if c.count.Load() >= maxLabels {
		return c.rest
	}
	s, known := c.known.LoadOrStore(l, newSeries(l.attributes(m.system)...))
	if !known {
		c.count.Add(1)
	}
	return s.(*series) //nolint:forcetypeassert // nothing else is stored
}

// each calls f with all series.
func (c *labels) each(f func(*series)) {
	c.known.Range(func(_, s any) bool {
		f(s.(*series)) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	f(c.rest)
}
