package simulate

import (
	"math"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// wellKnown sets a message whose fields depend on each other.
func (d *device) wellKnown(m protoreflect.Message, l *limits) bool {
	set := func(name protoreflect.Name, v any) {
		m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOf(v))
	}
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		seconds, nanos := d.instant(m.Descriptor().Name() == "Timestamp", l)
		set("seconds", seconds)
		set("nanos", nanos)
	case "google.protobuf.FieldMask":
		if listed := d.listed(l); len(listed) > 0 {
			d.mask(m, listed)
		}
	case "google.protobuf.Empty":
	case "google.protobuf.Struct":
		fields := m.Mutable(m.Descriptor().Fields().ByName("fields")).Map()
		for _, name := range []string{"co2", "noise"} {
			value := fields.NewValue()
			number := value.Message().Descriptor().Fields().ByName("number_value")
			value.Message().Set(number, protoreflect.ValueOfFloat64(d.walk(name, 300, 900)))
			fields.Set(protoreflect.ValueOfString(name).MapKey(), value)
		}
	case "google.protobuf.Value":
		set("number_value", d.walk("value", 0, 100))
	case "google.protobuf.ListValue":
	default:
		return false
	}
	return true
}

// instant returns a timestamp or a duration.
func (d *device) instant(timestamp bool, l *limits) (seconds int64, nanos int32) {
	if listed := d.listed(l); len(listed) > 0 {
		one := listed[d.IntN(len(listed))].Message()
		fields := one.Descriptor().Fields()
		return one.Get(fields.ByName("seconds")).Int(), int32(one.Get(fields.ByName("nanos")).Int())
	}
	if timestamp {
		return d.moment(l)
	}
	seconds = int64(d.IntN(60))
	if from, to := l.span(0, 60); float64(seconds) < from || float64(seconds) > to {
		return split(from + d.Float64()*(to-from))
	}
	return seconds, 0
}

// moment returns the present, or a time that rules want.
func (d *device) moment(l *limits) (seconds int64, nanos int32) {
	at := d.now
	within := time.Hour
	if v, ok := l.get("within"); ok {
		within = time.Duration(number(v) * float64(time.Second))
	}
	if v, ok := l.get("lt_now"); ok && v.Bool() {
		at = at.Add(-within / 2)
	}
	if v, ok := l.get("gt_now"); ok && v.Bool() {
		at = at.Add(within / 2)
	}
	now := float64(at.Unix())
	if from, to := l.span(now, now); from > now || to < now {
		return split(from)
	}
	return at.Unix(), int32(at.Nanosecond())
}

// split returns a number of seconds as protobuf has it.
func split(all float64) (seconds int64, nanos int32) {
	whole, rest := math.Modf(all)
	return int64(whole), int32(rest * 1e9)
}

// mask sets the paths of a field mask: all of a mask that a rule permits, or one path.
func (d *device) mask(m protoreflect.Message, listed []protoreflect.Value) {
	paths := m.Mutable(m.Descriptor().Fields().ByName("paths")).List()
	one := listed[d.IntN(len(listed))]
	whole, ok := one.Interface().(protoreflect.Message)
	if !ok {
		paths.Append(one)
		return
	}
	permitted := whole.Get(whole.Descriptor().Fields().ByName("paths")).List()
	for i := range permitted.Len() {
		paths.Append(permitted.Get(i))
	}
}
