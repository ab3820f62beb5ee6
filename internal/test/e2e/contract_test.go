package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"gopkg.in/yaml.v3"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
)

// TestPayloadsKeepTheContract compares the messages of the running service and its devices,
// including replies, with the committed AsyncAPI documents.
func TestPayloadsKeepTheContract(t *testing.T) {
	t.Parallel()
	_, address, saver := devices(t, "KM_MQTT_PROTOCOL=5")
	c := contractOf(t)
	seen := payloads(t, address)
	for n := range 6 {
		mosquittoPub(t, address, "devices/robot-3/data", fmt.Sprintf(`{"temperature": %d, "timestamp": "2026-05-06T12:00:00Z", "sensors": {"door": {"open": true}}}`, 58+n))
		if _, err := requestState(t, "mqtt://"+address.Host, startTimeout); err != nil {
			t.Fatal(err)
		}
		if n == 2 { // unset fields of the previous one are null
			mosquittoPub(t, address, "devices/robot-3/heartbeat", "{}")
		}
	}
	command, err := client(t).Post(saver.base+"/v1/devices/robot-3/commands", "application/json", strings.NewReader(`{"name":"turn"}`))
	if err != nil || command.StatusCode != http.StatusOK {
		t.Fatalf("command: %v, %v", command, err)
	}
	_ = command.Body.Close()
	maps.Copy(c.want, map[string]int{"device.v1.DeviceState": 6, "device.v1.Alert": 3, "device.v1.Command": 1, "device.v1.GetDeviceStateRequest": 6})
	for missing := true; missing; {
		line, ok := <-seen
		if !ok {
			t.Fatalf("no more messages, waiting for %v", c.want)
		}
		c.check(t, line)
		missing = false
		for _, n := range c.want {
			missing = missing || n > 0
		}
	}
}

// payloads runs mosquitto_sub on all topics: its lines are topic and payload.
func payloads(t *testing.T, address *url.URL) <-chan string {
	t.Helper()
	return subscribeAs(t, address, "%t %x", "#")
}

// contract is the content of the documents.
type contract struct {
	channels []channel
	want     map[string]int // messages still to come, by type
}

type channel struct {
	filter  string // "" for a reply
	message string
	json    bool
	schema  *jsonschema.Schema
}

func contractOf(t *testing.T) *contract {
	t.Helper()
	c := &contract{want: make(map[string]int)}
	for name, text := range map[string]string{"device": devicev1.AsyncAPI(), "report": reportv1.AsyncAPI()} {
		var d struct {
			Channels map[string]struct {
				Filter   string `yaml:"x-mqtt-filter"`
				Messages map[string]struct {
					Ref string `yaml:"$ref"`
				}
			}
			Components struct {
				Messages map[string]struct {
					Name        string
					ContentType string `yaml:"contentType"`
				}
			}
		}
		var whole map[string]any
		if err := yaml.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		compiler.DefaultDraft(jsonschema.Draft7)
		if err := compiler.AddResource(name, jsonValue(t, whole)); err != nil {
			t.Fatal(err)
		}
		for _, ch := range d.Channels {
			for _, ref := range ch.Messages {
				key := ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]
				m := d.Components.Messages[key]
				schema, err := compiler.Compile(name + "#/components/messages/" + key + "/payload")
				if err != nil {
					t.Fatal(err)
				}
				c.channels = append(c.channels, channel{ch.Filter, m.Name, m.ContentType == "application/json", schema})
			}
		}
	}
	return c
}

func jsonValue(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// check validates one message; its topic must belong to a channel.
func (c *contract) check(t *testing.T, line string) {
	t.Helper()
	topic, text, _ := strings.Cut(line, " ")
	if topic == granted {
		return
	}
	payload, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range c.channels {
		reply := ch.filter == "" && (strings.HasPrefix(topic, "inbox/") || strings.HasPrefix(topic, "reply/"))
		if !reply && (ch.filter == "" || !eventimpl.Overlap(ch.filter, topic)) {
			continue
		}
		c.want[ch.message]--
		if !ch.json {
			payload = fromProto(t, ch.message, payload)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
		if err == nil {
			err = ch.schema.Validate(value)
		}
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", topic, ch.message, err, payload)
		}
		return
	}
	t.Errorf("no channel of the documents has topic %s", topic)
}

// fromProto returns the JSON of a binary payload.
func fromProto(t *testing.T, name string, payload []byte) []byte {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	m := kind.New().Interface()
	if err := proto.Unmarshal(payload, m); err != nil {
		t.Fatal(err)
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
