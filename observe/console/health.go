package console

import (
	"encoding/json"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

func (s *state) serveHealth(http.ResponseWriter, *http.Request) (any, error) { return s.health() }

// health returns api/health, which is the reply to GetHealth of package operator/remote.
func (s *state) health() (json.RawMessage, error) {
	return protojson.MarshalOptions{EmitDefaultValues: true, UseProtoNames: true}.Marshal(remote.Health(s.probe.State()))
}
