/* lib/rules/num.c - numerals of JSON and their one spelling. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "rules/num.h"

static size_t
digits(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++;
	return i;
}

size_t
num_scan(const char *p, size_t n, int *ret_plain)
{
	size_t i = n > 0 && p[0] == '-', d = digits(p + i, n - i), k;
	int plain;

	if (d == 0 || (d > 1 && p[i] == '0'))
		return 0;
	plain = d <= 15 && !(i == 1 && p[1] == '0');
	i += d;
	if (i < n && p[i] == '.') {
		if ((k = digits(p + i + 1, n - i - 1)) == 0)
			return 0;
		i += 1 + k;
		plain = 0;
	}
	if (i < n && (p[i] == 'e' || p[i] == 'E')) {
		size_t sign = i + 1 < n && (p[i + 1] == '+' || p[i + 1] == '-');

		if ((k = digits(p + i + 1 + sign, n - i - 1 - sign)) == 0)
			return 0;
		i += 1 + sign + k;
		plain = 0;
	}
	*ret_plain = plain;
	return i;
}

int
num_value(const char *p, size_t n, double *ret)
{
	char text[128];
	int plain;

	if (n == 0 || n >= sizeof(text) || num_scan(p, n, &plain) != n)
		return 0;
	memcpy(text, p, n);
	text[n] = '\0';
	*ret = strtod(text, NULL);
	return 1;
}

size_t
num_canonical(const char *p, size_t n, char dst[NUM_TEXT_MAX])
{
	double v;

	if (!num_value(p, n, &v) || !isfinite(v)) {
		if (n >= NUM_TEXT_MAX)
			n = NUM_TEXT_MAX - 1;
		memcpy(dst, p, n);
		dst[n] = '\0';
		return n;
	}
	if (v == trunc(v) && fabs(v) < 9007199254740992.0)
		sp_snprintf(dst, NUM_TEXT_MAX, "%lld", (long long)v);
	else
		sp_snprintf(dst, NUM_TEXT_MAX, "%.17g", v);
	return strlen(dst);
}
