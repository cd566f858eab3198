/* src/common/category.c - see category.h. Append only: alerts in the store name these keys. */
#include "common/category.h"

#include <stddef.h>
#include <string.h>

#include "base/str.h"

static const struct sp_category all[] = {
	{ "access.brute-force", "Access", "Guessing of credentials", "访问", "暴力破解" },
	{ "access.denied", "Access", "Access refused", "访问", "访问被拒绝" },
	{ "access.unusual", "Access", "Unusual login", "访问", "异常登录" },
	{ "access.privilege", "Access", "Privileges raised", "访问", "权限提升" },
	{ "authentication.failed", "Authentication", "Login failed", "认证", "登录失败" },
	{ "authentication.second-factor", "Authentication", "Second factor", "认证", "多因子认证" },
	{ "exfiltration.files", "Exfiltration", "Files leave", "数据外泄", "文件外传" },
	{ "exfiltration.tunnel", "Exfiltration", "Tunnels", "数据外泄", "隧道" },
	{ "malware.execution", "Malware", "Hostile program", "恶意软件", "恶意程序执行" },
	{ "malware.reverse-shell", "Malware", "Reverse shell", "恶意软件", "反弹 Shell" },
	{ "policy.command", "Policy", "Refused command", "策略", "命令被拒绝" },
	{ "policy.change", "Policy", "Change of rules or grants", "策略", "策略变更" },
	{ "recon.scan", "Reconnaissance", "Scan", "侦察", "扫描" },
	{ "suspicious.evidence", "Suspicious", "Traces removed or evidence disturbed", "可疑活动", "清除痕迹" },
	{ "suspicious.host-key", "Suspicious", "Identity of a host changed", "可疑活动", "主机身份变更" },
	{ "suspicious.other", "Suspicious", "Other", "可疑活动", "其他" },
	{ "suspicious.user-behaviour", "Suspicious", "User behaviour", "可疑活动", "用户行为" },
	{ "system.health", "System", "State of the bastion", "系统", "系统状态" },
	{ "system.tampered", "System", "Data changed behind its back", "系统", "数据被篡改" },
};

const struct sp_category *
sp_category_find(const char *key)
{
	for (size_t i = 0; i < SP_NELEMS(all); i++)
		if (strcmp(all[i].key, key) == 0)
			return &all[i];
	return NULL;
}

const struct sp_category *
sp_category_at(unsigned i)
{
	return i < SP_NELEMS(all) ? &all[i] : NULL;
}
