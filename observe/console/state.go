package console

import (
	"net/http"

	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// state is what the page reads of the service.
type state struct {
	recorder *Recorder
	probe    *observe.Probe
	operator *operator.Operator // nil: how many messages wait is not known
}

func (s *state) serveFlow(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.flows(r.URL.Query().Get("series") != "0"), nil
}

// flows returns the state of all operations, with the last five minutes if whole.
func (s *state) flows(whole bool) flowReport {
	waiting := make(map[string]int)
	if s.operator != nil {
		list, _ := s.operator.Subscriptions() // without it how many wait is not shown
		for i := range list {
			waiting[list[i].Name] += list[i].Waiting
		}
	}
	return s.recorder.flows.report(s.recorder.now(), whole, waiting)
}

// serveTopics serves the levels below the topic of the query, those of the top without one.
func (s *state) serveTopics(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	return s.recorder.topics.below(q.Get("prefix"), !q.Has("prefix")), nil
}
