package simulate

import (
	"math"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar returns a value that the rules of a field permit, and that otherwise suits its name.
func (d *device) scalar(f protoreflect.FieldDescriptor, path string, of *validate.FieldRules) (v protoreflect.Value) {
	l := limitsOf(of)
	name := strings.ToLower(path[strings.LastIndex(path, ".")+1:])
	if listed := d.listed(l); len(listed) > 0 {
		i := d.IntN(len(listed))
		if d.own[path] {
			i = (d.number - 1) % len(listed)
		}
		if f.Kind() == protoreflect.EnumKind {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(listed[i].Int()))
		}
		return listed[i]
	}
	for range attempts {
		if v = d.draw(f, name, path, l); !l.bans(v) {
			break
		}
	}
	if f.Kind() == protoreflect.BoolKind && of.GetRequired() {
		return protoreflect.ValueOfBool(true)
	}
	return v
}

func (d *device) draw(f protoreflect.FieldDescriptor, name, path string, l *limits) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(d.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		first := min(1, values.Len()-1) // 0 means unspecified
		return protoreflect.ValueOfEnum(values.Get(first + d.IntN(values.Len()-first)).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(d.text(name, path, l))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(d.bytes(l))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(d.number64(name, path, l)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(d.number64(name, path, l))
	}
	n := d.integer(name, path, l)
	switch f.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(min(max(n, math.MinInt32), math.MaxInt32)))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(min(max(n, 0), math.MaxUint32)))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(max(n, 0)))
	}
	return protoreflect.ValueOfInt64(n)
}

// number64 returns a measurement, in a range that suits its name.
func (d *device) number64(name, path string, l *limits) float64 {
	low, top := 0.0, 100.0
	switch {
	case has(name, "temp"):
		low, top = 15, 30
	case has(name, "humid"):
		low, top = 30, 70
	case has(name, "press"):
		low, top = 980, 1040
	case has(name, "volt"):
		low, top = 3, 4.2
	case has(name, "latitude") || name == "lat":
		low, top = -90, 90
	case has(name, "longitude") || name == "lon" || name == "lng":
		low, top = -180, 180
	case has(name, "rssi", "signal"):
		low, top = -90, -30
	case has(name, "co2"):
		low, top = 400, 1200
	case has(name, "ratio"):
		low, top = 0, 1
	case has(name, "port"):
		low, top = 1024, 65535
	case has(name, "status"):
		low, top = 0, 3
	}
	low, top = l.span(low, top)
	return d.walk(path, low, top)
}

func (d *device) integer(name, path string, l *limits) int64 {
	n, ok := d.counted(name, path)
	if !ok {
		return int64(math.Round(d.number64(name, path, l)))
	}
	if from, to := l.span(math.Inf(-1), math.Inf(1)); float64(n) < from || float64(n) > to {
		if !d.own[path] {
			return int64(math.Round(d.number64(name, path, l)))
		}
		n = int64(from) + (n-1)%max(1, int64(min(to-from, maxSpan))+1)
	}
	return n
}

// counted returns an integer that is not a measurement.
func (d *device) counted(name, path string) (n int64, ok bool) {
	switch {
	case d.own[path]:
		return int64(d.number), true
	case strings.HasSuffix(name, "_ms") || has(name, "millis"):
		return d.now.UnixMilli(), true
	case has(name, "time") || strings.HasSuffix(name, "_at"):
		return d.now.Unix(), true
	case has(name, "seq", "count", "total", "uptime"):
		d.last[path]++
		return int64(d.last[path]), true
	}
	return 0, false
}

// walk returns the next value of a measurement, with two digits behind the point if the bounds
// have no more: near the last one, between low and top.
func (d *device) walk(path string, low, top float64) float64 {
	value, known := d.last[path]
	if known && d.tries == 0 { // else a value near the last one would break the same rule
		value += d.NormFloat64() * (top - low) / 50
	} else {
		value = low + d.Float64()*(top-low)
	}
	value = min(max(value, low), top)
	if short := math.Round(value*100) / 100; low <= short && short <= top {
		value = short
	}
	d.last[path] = value
	return value
}

func has(name string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
