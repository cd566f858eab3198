/* lib/base/clock.c - see clock.h. */
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t
sp_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * SP_US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

int64_t
sp_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * (int64_t)SP_US_PER_S + ts.tv_nsec / 1000;
}

char *
sp_rfc3339(int64_t wall_us, char *dst, size_t size)
{
	int64_t sec = wall_us / (int64_t)SP_US_PER_S, us = wall_us % (int64_t)SP_US_PER_S;
	time_t t;
	struct tm tm;

	if (us < 0) {
		us += (int64_t)SP_US_PER_S;
		sec--;
	}
	t = (time_t)sec;
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099) {
		snprintf(dst, size, "invalid-time");
		return dst;
	}
	snprintf(dst, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, (int)us);
	return dst;
}

/* n decimal digits at *s, advancing it; -1 if there are fewer. */
static int
time_digits(const char **s, int n)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

static enum sp_err
time_offset(const char *s, int64_t *ret_s)
{
	int sign, h, m;

	if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0) {
		*ret_s = 0;
		return SP_OK;
	}
	if (*s != '+' && *s != '-')
		return SP_EFORMAT;
	sign = *s++ == '-' ? -1 : 1;
	if ((h = time_digits(&s, 2)) < 0 || *s++ != ':' || (m = time_digits(&s, 2)) < 0 || *s != 0 || h > 23 || m > 59)
		return SP_EFORMAT;
	*ret_s = sign * (h * 3600 + m * 60);
	return SP_OK;
}

enum sp_err
sp_rfc3339_parse(const char *s, int64_t *ret_wall_us)
{
	struct tm tm = { 0 }, back;
	int64_t off = 0, us = 0, scale = 100000;
	int year;
	time_t t;

	if ((year = time_digits(&s, 4)) < 0 || *s++ != '-' || (tm.tm_mon = time_digits(&s, 2)) < 0 || *s++ != '-' ||
	    (tm.tm_mday = time_digits(&s, 2)) < 0)
		return SP_EFORMAT;
	tm.tm_year = year - 1900;
	tm.tm_mon--;
	if (*s != 0) {
		if ((*s != 'T' && *s != 't' && *s != ' ') || (s++, tm.tm_hour = time_digits(&s, 2)) < 0 ||
		    *s++ != ':' || (tm.tm_min = time_digits(&s, 2)) < 0 || *s++ != ':' ||
		    (tm.tm_sec = time_digits(&s, 2)) < 0)
			return SP_EFORMAT;
		if (*s == '.')
			for (s++; *s >= '0' && *s <= '9'; s++, scale /= 10)
				us += (*s - '0') * scale;
		if (time_offset(s, &off) != SP_OK)
			return SP_EFORMAT;
	}
	back = tm;
	t = timegm(&tm);
	/* timegm normalises 31 February; refuse whatever it had to change. */
	if (tm.tm_mon != back.tm_mon || tm.tm_mday != back.tm_mday || tm.tm_hour != back.tm_hour ||
	    tm.tm_min != back.tm_min || tm.tm_sec != back.tm_sec)
		return SP_EFORMAT;
	*ret_wall_us = ((int64_t)t - off) * (int64_t)SP_US_PER_S + us;
	return SP_OK;
}

enum sp_err
sp_duration_parse(const char *s, uint64_t *ret_us)
{
	static const struct { char unit; uint64_t s; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 },
	};
	uint64_t v = 0, mul = 1;

	if (*s < '0' || *s > '9')
		return SP_EFORMAT;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > UINT64_C(3155760000))
			return SP_ESIZE;
	}
	if (*s != 0) {
		size_t i;

		for (i = 0; i < SP_NELEMS(units) && units[i].unit != *s; i++)
			;
		if (i == SP_NELEMS(units) || s[1] != 0)
			return SP_EFORMAT;
		mul = units[i].s;
	}
	if (v * mul > UINT64_C(3155760000))
		return SP_ESIZE;
	*ret_us = v * mul * SP_US_PER_S;
	return SP_OK;
}
