package service

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics are the metrics of a service at one time, by name.
type Metrics map[string]*dto.MetricFamily

// Metrics returns the metrics of the service, which it serves for Prometheus.
func (s *Service) Metrics(ctx context.Context) (Metrics, error) {
	code, text, err := s.get(ctx, metricsPath)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("%s%s: status %d, want metrics for Prometheus", s.Address(), metricsPath, code)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", s.Address(), metricsPath, err)
	}
	return families, nil
}

// Value returns a counter or gauge, summed over its labels, and whether it is known.
func (m Metrics) Value(name string) (sum float64, known bool) {
	for _, each := range m[name].GetMetric() {
		v := each.GetGauge().GetValue() + each.GetCounter().GetValue() + each.GetUntyped().GetValue()
		if !math.IsNaN(v) {
			sum, known = sum+v, true
		}
	}
	return sum, known
}

// Quantile returns an upper bound of a quantile of what a histogram has observed since an
// earlier time, and whether it has observed anything. Beyond the last bound it is the infinity.
func (m Metrics) Quantile(name string, q float64, since Metrics) (bound float64, known bool) {
	now, before := bucketsOf(m[name]), bucketsOf(since[name])
	all := now.count - before.count
	if all <= 0 {
		return 0, false
	}
	bound = math.Inf(1)
	for upper, n := range now.upTo {
		if n-before.upTo[upper] >= q*all {
			bound = min(bound, upper)
		}
	}
	return bound, true
}

// buckets are those of a histogram, summed over its labels.
type buckets struct {
	count float64
	upTo  map[float64]float64
}

func bucketsOf(f *dto.MetricFamily) buckets {
	b := buckets{upTo: make(map[float64]float64)}
	for _, each := range f.GetMetric() {
		h := each.GetHistogram()
		b.count += float64(h.GetSampleCount())
		for _, bucket := range h.GetBucket() {
			b.upTo[bucket.GetUpperBound()] += float64(bucket.GetCumulativeCount())
		}
	}
	return b
}
