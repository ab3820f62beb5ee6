package display

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
)

// maxCost bounds how long a condition works on one message.
const maxCost = 1_000_000

// Condition selects messages by an expression of the Common Expression Language (CEL). It is
// safe for concurrent use.
type Condition struct {
	decoder decode.Decoder
	program cel.Program
}

// NewCondition returns the condition of an expression. Its variables are named as the JSON of a
// [Message]; payload is the message of the operation with its types, else the value of the
// JSON, else the text; headers has the last value of each name.
func NewCondition(expression string, files *protoregistry.Files) (*Condition, error) {
	env, err := cel.NewEnv(
		cel.TypeDescs(files), cel.CrossTypeNumericComparisons(true), ext.Strings(),
		cel.Variable("time", cel.TimestampType), cel.Variable("topic", cel.StringType), cel.Variable("operation", cel.StringType),
		cel.Variable("decoder", cel.StringType), cel.Variable("note", cel.StringType), cel.Variable("payload", cel.DynType),
		cel.Variable("size", cel.IntType), cel.Variable("qos", cel.IntType), cel.Variable("retained", cel.BoolType),
		cel.Variable("duplicate", cel.BoolType), cel.Variable("id", cel.StringType), cel.Variable("content_type", cel.StringType),
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)),
	)
	if err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, fmt.Errorf("condition: %w", issues.Err())
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("condition %q is of type %s, want bool", expression, t)
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		return nil, fmt.Errorf("condition: %w", err)
	}
	return &Condition{decoder: decode.New(files), program: program}, nil
}

// Holds reports whether the condition is true for a message. An error means that it cannot be
// known, because the payload has no such field, for example.
func (c *Condition) Holds(m *Message) (bool, error) {
	headers := make(map[string]string, len(m.headers))
	for _, h := range m.headers {
		headers[h.Key] = h.Value
	}
	value, _, err := c.program.Eval(map[string]any{
		"time": m.Time, "topic": m.Topic, "operation": m.Operation, "decoder": m.Decoder, "note": m.Note,
		"payload": c.payload(m), "size": m.Size, "qos": int(m.QoS), "retained": m.Retained, "duplicate": m.Duplicate,
		"id": m.ID, "content_type": m.ContentType, "headers": headers,
	})
	if err != nil {
		return false, err
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the condition is of type %s, want bool", value.Type().TypeName())
	}
	return holds, nil
}

func (c *Condition) payload(m *Message) any {
	if strings.HasPrefix(m.Decoder, decode.Proto) {
		in, err := c.decoder.Input(m.Operation)
		if err == nil && proto.Unmarshal(m.data, in) == nil {
			return in
		}
	}
	if !m.IsJSON() {
		return m.text
	}
	d := json.NewDecoder(bytes.NewReader(m.Payload))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return m.text
	}
	return exact(value)
}

// exact replaces numbers by integers where they are such, so that large ones are compared
// exactly.
func exact(value any) any {
	switch v := value.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // beyond the largest number it is infinite
		return f
	case map[string]any:
		for name, item := range v {
			v[name] = exact(item)
		}
	case []any:
		for i, item := range v {
			v[i] = exact(item)
		}
	}
	return value
}
