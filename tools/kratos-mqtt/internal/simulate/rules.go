package simulate

import (
	"errors"
	"fmt"
	"math"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// rules are those of protovalidate for a message and all messages in it. They do not change. The
// zero value has none.
type rules struct {
	validator protovalidate.Validator
	fields    map[protoreflect.FullName]*validate.FieldRules
	oneofs    map[protoreflect.FullName][]*validate.MessageOneofRule // of messages
}

// readRules reads the rules that the options of a message declare.
func readRules(m protoreflect.MessageDescriptor) (*rules, error) {
	files := new(protoregistry.Files) // for rules that they declare themselves
	if err := collect(files, m.ParentFile()); err != nil {
		return nil, err
	}
	validator, err := protovalidate.New(protovalidate.WithExtensionTypeResolver(dynamicpb.NewTypes(files)))
	if err != nil {
		return nil, err
	}
	r := &rules{
		validator: validator, fields: make(map[protoreflect.FullName]*validate.FieldRules),
		oneofs: make(map[protoreflect.FullName][]*validate.MessageOneofRule),
	}
	return r, r.read(m)
}

// collect adds a file and its imports.
func collect(to *protoregistry.Files, f protoreflect.FileDescriptor) error {
	if _, err := to.FindFileByPath(f.Path()); err == nil || f.IsPlaceholder() {
		return nil
	}
	if err := to.RegisterFile(f); err != nil {
		return err
	}
	for i := range f.Imports().Len() {
		if err := collect(to, f.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return nil
}

func (r *rules) read(m protoreflect.MessageDescriptor) error {
	if _, seen := r.oneofs[m.FullName()]; seen {
		return nil
	}
	of, err := protovalidate.ResolveMessageRules(m)
	if err != nil {
		return fmt.Errorf("%s: %w", m.FullName(), err)
	}
	r.oneofs[m.FullName()] = of.GetOneof()
	// Rules of another type than their field are found before a value is made of them.
	if err := r.check(dynamicpb.NewMessage(m), time.Now()); errors.As(err, new(*protovalidate.CompilationError)) {
		return err
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		of, err := protovalidate.ResolveFieldRules(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.FullName(), err)
		}
		if of.GetIgnore() != validate.Ignore_IGNORE_ALWAYS {
			r.fields[f.FullName()] = of
		}
		inner := f.Message()
		if f.IsMap() {
			inner = f.MapValue().Message()
		}
		if inner != nil {
			if err := r.read(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// check returns the rules that a message breaks at a time.
func (r *rules) check(m proto.Message, now time.Time) error {
	if r.validator == nil {
		return nil
	}
	return r.validator.Validate(m, protovalidate.WithNowFunc(func() *timestamppb.Timestamp { return timestamppb.New(now) }))
}

// broken reports whether an error is about a message, and not about the rules themselves.
func broken(err error) bool { return errors.As(err, new(*protovalidate.ValidationError)) }

// left returns the fields of a message that stay unset because another one of their group is set.
func (d *device) left(m protoreflect.MessageDescriptor) map[protoreflect.Name]bool {
	left := make(map[protoreflect.Name]bool)
	for _, group := range d.rules.oneofs[m.FullName()] {
		for _, name := range group.GetFields() {
			left[protoreflect.Name(name)] = true
		}
		if n := len(group.GetFields()); n > 0 {
			delete(left, protoreflect.Name(group.GetFields()[d.IntN(n)]))
		}
	}
	return left
}

// limits are the rules of one field that are about its value: a message of protovalidate, such as
// StringRules, whose fields have the same names whatever the type is. nil has none.
type limits struct{ protoreflect.Message }

func limitsOf(of *validate.FieldRules) *limits {
	m := of.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("type")); f != nil {
		return &limits{m.Get(f).Message()}
	}
	return nil
}

// get returns a rule that is set.
func (l *limits) get(name protoreflect.Name) (protoreflect.Value, bool) {
	if l == nil {
		return protoreflect.Value{}, false
	}
	f := l.Descriptor().Fields().ByName(name)
	if f == nil || !l.Has(f) {
		return protoreflect.Value{}, false
	}
	return l.Get(f), true
}

func (l *limits) text(name protoreflect.Name) string {
	v, _ := l.get(name)
	switch text := v.Interface().(type) {
	case string:
		return text
	case []byte:
		return string(text)
	}
	return ""
}

// size returns a rule about a length or a number of items, or another value if it is not set.
func (l *limits) size(name protoreflect.Name, other int) int {
	if v, ok := l.get(name); ok {
		return int(min(v.Uint(), 1<<20))
	}
	return other
}

// listed returns the values that a rule permits, or nil if none is listed. Examples are used when
// other values have not been valid.
func (d *device) listed(l *limits) []protoreflect.Value {
	if v, ok := l.get("const"); ok {
		return []protoreflect.Value{v}
	}
	names := []protoreflect.Name{"in"}
	if d.tries > 0 {
		names = append(names, "example")
	}
	for _, name := range names {
		if v, ok := l.get(name); ok {
			values := make([]protoreflect.Value, v.List().Len())
			for i := range values {
				values[i] = v.List().Get(i)
			}
			return values
		}
	}
	return nil
}

// bans reports whether a value is one that a rule excludes.
func (l *limits) bans(v protoreflect.Value) bool {
	not, ok := l.get("not_in")
	if !ok {
		return false
	}
	if n, enum := v.Interface().(protoreflect.EnumNumber); enum {
		v = protoreflect.ValueOfInt32(int32(n))
	}
	for i := range not.List().Len() {
		if not.List().Get(i).Equal(v) {
			return true
		}
	}
	return false
}

// span returns the bounds of a number, within those that it has otherwise if they overlap.
func (l *limits) span(low, top float64) (from, to float64) {
	from, to = -maxSpan, maxSpan
	if v, ok := l.get("gt"); ok {
		from = number(v) + step(v)
	} else if v, ok := l.get("gte"); ok {
		from = number(v)
	}
	if v, ok := l.get("lt"); ok {
		to = number(v) - step(v)
	} else if v, ok := l.get("lte"); ok {
		to = number(v)
	}
	width := top - low
	switch {
	case from > to: // the rules exclude what is between them
		return from, from + min(width, maxSpan)
	case max(low, from) <= min(top, to):
		return max(low, from), min(top, to)
	case from > top:
		return from, min(from+width, to)
	}
	return max(to-width, from), to
}

// maxSpan bounds a number that has no bound.
const maxSpan = 1 << 62

// number returns a bound of any kind of number; times are seconds.
func number(v protoreflect.Value) float64 {
	switch n := v.Interface().(type) {
	case int32:
		return float64(n)
	case int64:
		return float64(n)
	case uint32:
		return float64(n)
	case uint64:
		return float64(n)
	case float32:
		return float64(n)
	case float64:
		return n
	case protoreflect.Message:
		fields := n.Descriptor().Fields()
		return float64(n.Get(fields.ByName("seconds")).Int()) + float64(n.Get(fields.ByName("nanos")).Int())/1e9
	}
	return 0
}

// step is how far a number is from a bound that it must not reach.
func step(bound protoreflect.Value) float64 {
	switch bound.Interface().(type) {
	case float32, float64:
		return 1e-6 * max(1, math.Abs(number(bound)))
	case protoreflect.Message:
		return 0.001
	}
	return 1
}
