package mqtt_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
)

// A topic parameter of an HTTP request that is refused results in a 400 that names
// field, character and rule.
func TestBadParameterByHTTP(t *testing.T) {
	t.Parallel()
	cc := mqttbroker.NewClientConn(new(fakeBroker))
	srv := khttp.NewServer()
	srv.Route("/").GET("/{device}", func(c khttp.Context) error {
		var b eventimpl.TopicBuilder // as generated code does
		b.Literal("devices/")
		b.String("device_id", c.Vars().Get("device"))
		topic, err := b.Topic()
		if err != nil {
			return err
		}
		return cc.Publish(c, textMethod, topic, wrapperspb.String("x"))
	})
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a+b", nil))
	var body struct {
		Code            int
		Reason, Message string
		Metadata        map[string]string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusBadRequest {
		t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	want := map[string]string{"field": "device_id", "character": "+", "rule": "a topic to publish to has no + and no # [MQTT-4.7.1-1]"}
	if body.Code != 400 || body.Reason != "BAD_TOPIC" || !maps.Equal(body.Metadata, want) {
		t.Errorf("got %s", w.Body)
	}
	if !strings.HasPrefix(body.Message, "mqtt publish failed: bad topic: field device_id contains the wildcard +: a topic") {
		t.Errorf("got %q", body.Message)
	}
}
