package biz

import "context"

// save stores all valid items in one call. refused has one entry for each item, and
// is nil if all are valid.
func save[T any](ctx context.Context, items []T, validate func(T) error, store func(context.Context, []T) error) (refused []error, err error) {
	valid := make([]T, 0, len(items))
	for i, item := range items {
		err := validate(item)
		if err == nil {
			valid = append(valid, item)
			continue
		}
		if refused == nil {
			refused = make([]error, len(items))
		}
		refused[i] = err
	}
	if len(valid) == 0 {
		return refused, nil
	}
	return refused, store(ctx, valid)
}

func (e EventReport) validate() error {
	v := validateStored(e.EventID, map[string]string{"event_name": e.EventName, "report_data": e.Data})
	v.moment("create_time", e.CreateTime)
	return v.err()
}

func (s StatusReport) validate() error {
	v := validateStored(s.EventID, map[string]string{
		"data_name": s.DataName, "report_type": s.ReportType, "report_data": s.Data, "error_reason": s.ErrorReason,
		"error_handling": s.ErrorHandling, "part_event": s.PartEvent, "part_date": s.PartDate,
	})
	return v.err()
}

func validateStored(id string, texts map[string]string) violations {
	v := violations{}
	v.requireName("event_id", id)
	texts["event_id"] = id
	v.texts(texts)
	return v
}
