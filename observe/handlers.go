package observe

import (
	"encoding/json"
	"net/http"
)

// Live returns a handler that always answers 200: the process runs, whatever the state of
// the connection, which a restart would not mend.
func (p *Probe) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, Report{Status: "live"})
	})
}

// Ready returns a handler that answers with [Probe.Check] as JSON: 200 if it is [Ready] or
// [Degraded], 503 if it is [NotReady]. The answer names no hosts, topics or keys. Client ids
// are named if they flap.
func (p *Probe) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r := p.Check()
		code := http.StatusOK
		if r.Status == NotReady {
			code = http.StatusServiceUnavailable
		}
		answer(w, code, r)
	})
}

func answer(w http.ResponseWriter, code int, r Report) {
	text, err := json.Marshal(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // an error means that the client is gone
}
