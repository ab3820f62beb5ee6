package biz

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/uuid"
)

const (
	// ReportEvent is the type of a report about an event.
	ReportEvent = "event"
	// ReportUser is the type of a report about a user.
	ReportUser = "user"

	// StatusRejected is the status of a report that is not fit for processing.
	StatusRejected = 1

	// maxContent bounds the content of a report, in bytes.
	maxContent = 64 << 10

	reasonUnknownType = "unknown report type"
	reasonNotJSON     = "content is not JSON"
	handlingRecorded  = "recorded, not processed"
)

// Report is a report as an application posts it.
type Report struct {
	Type      string
	AppID     string
	AppKey    string
	EventName string
	Content   string
	// Debug asks for the decision to be logged.
	Debug bool
}

// EventReport is a report that is fit for processing.
type EventReport struct {
	EventID    string
	EventName  string
	Data       string
	CreateTime time.Time
}

// StatusReport records that a report was received but is not fit for processing.
type StatusReport struct {
	EventID       string
	DataName      string
	ReportType    string
	Data          string
	ErrorReason   string
	ErrorHandling string
	Status        int32
	PartEvent     string
	PartDate      string
}

// Receipt is the result of posting a report.
type Receipt struct {
	EventID string
	// Rejected is why only a status was recorded; empty if the report was accepted.
	Rejected string
}

// ReportPublisher publishes reports. Its methods return nil only once the message
// is accepted. They are safe for concurrent use.
type ReportPublisher interface {
	PublishEvent(context.Context, EventReport) error
	PublishStatus(context.Context, StatusReport) error
}

// ReportRepo stores reports. A call saves all of its reports or none. Saving an
// event id that is already stored changes nothing and is not an error. Lists are
// newest first and return the cursor of the next page, 0 on the last one. Methods
// are safe for concurrent use.
type ReportRepo interface {
	SaveEvents(context.Context, []EventReport) error
	SaveStatuses(context.Context, []StatusReport) error
	ListEvents(context.Context, Page) ([]EventReport, int64, error)
	ListStatuses(context.Context, Page) ([]StatusReport, int64, error)
}

// ReportUsecase posts, saves and lists reports. Safe for concurrent use.
type ReportUsecase struct {
	publisher ReportPublisher
	repo      ReportRepo
	log       *log.Helper
	newID     func() (uuid.UUID, error)
	now       func() time.Time
}

// NewReportUsecase returns a use case for the given publisher and repository.
func NewReportUsecase(publisher ReportPublisher, repo ReportRepo, logger log.Logger) *ReportUsecase {
	return &ReportUsecase{
		publisher: publisher,
		repo:      repo,
		log:       log.NewHelper(logger),
		newID:     uuid.NewV7,
		now:       time.Now,
	}
}

// Post validates r, assigns an event id and publishes it: as an event if it is fit
// for processing, otherwise as a status with the reason. It returns once the
// message is accepted. An incomplete or oversized report is a Kratos 400 and is
// not recorded at all.
func (u *ReportUsecase) Post(ctx context.Context, r Report) (Receipt, error) {
	if err := r.validate(); err != nil {
		return Receipt{}, err
	}
	id, err := u.newID()
	if err != nil {
		return Receipt{}, fmt.Errorf("new event id: %w", err)
	}
	receipt := Receipt{EventID: id.String(), Rejected: r.rejection()}
	if r.Debug {
		u.log.WithContext(ctx).Infow("msg", "report decided", "event_id", receipt.EventID,
			"report_type", r.Type, "event_name", r.EventName, "rejected", receipt.Rejected)
	}
	if err := u.publish(ctx, r, receipt); err != nil {
		return Receipt{}, err
	}
	return receipt, nil
}

func (u *ReportUsecase) publish(ctx context.Context, r Report, receipt Receipt) error {
	now := u.now().UTC()
	if receipt.Rejected == "" {
		return u.publisher.PublishEvent(ctx, EventReport{
			EventID:    receipt.EventID,
			EventName:  r.EventName,
			Data:       r.Content,
			CreateTime: now,
		})
	}
	return u.publisher.PublishStatus(ctx, StatusReport{
		EventID:       receipt.EventID,
		DataName:      r.EventName,
		ReportType:    r.Type,
		Data:          r.Content,
		ErrorReason:   receipt.Rejected,
		ErrorHandling: handlingRecorded,
		Status:        StatusRejected,
		PartEvent:     r.EventName,
		PartDate:      now.Format(time.DateOnly),
	})
}

// SaveEvents stores each event once, however often it is delivered. An event is
// refused with a Kratos 400 if it has no event id, because its redelivery could not
// be recognized, or if no list could show its time. refused has one entry for each
// event, nil for the stored ones; it is nil if all are stored. If err is not nil,
// none is stored.
func (u *ReportUsecase) SaveEvents(ctx context.Context, events []EventReport) (refused []error, err error) {
	return save(ctx, events, EventReport.validate, u.repo.SaveEvents)
}

// SaveStatuses does for statuses what SaveEvents does for events.
func (u *ReportUsecase) SaveStatuses(ctx context.Context, statuses []StatusReport) (refused []error, err error) {
	return save(ctx, statuses, StatusReport.validate, u.repo.SaveStatuses)
}

// ListEvents returns a page of stored events and the cursor of the next page.
func (u *ReportUsecase) ListEvents(ctx context.Context, page Page) ([]EventReport, int64, error) {
	return u.repo.ListEvents(ctx, page)
}

// ListStatuses returns a page of stored statuses and the cursor of the next page.
func (u *ReportUsecase) ListStatuses(ctx context.Context, page Page) ([]StatusReport, int64, error) {
	return u.repo.ListStatuses(ctx, page)
}

func (r Report) validate() error {
	v := violations{}
	v.requireName("report_type", r.Type)
	v.requireName("app_id", r.AppID)
	v.requireName("app_key", r.AppKey)
	v.requireName("event_name", r.EventName)
	v.limit("content", r.Content, maxContent)
	v.texts(map[string]string{"report_type": r.Type, "event_name": r.EventName, "content": r.Content})
	return v.err()
}

// rejection returns why a complete report is only recorded, or "" if it is fit for
// processing.
func (r Report) rejection() string {
	switch {
	case r.Type != ReportEvent && r.Type != ReportUser:
		return reasonUnknownType
	case !json.Valid([]byte(r.Content)):
		return reasonNotJSON
	}
	return ""
}
