#include "vmtest/job.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"

json_t *vt_job_to_json(const struct vt_job *job)
{
    return json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:f, s:b, s:b, "
        "s:b, s:b, s:b, s:f, "
        "s:I}",
        "number", job->number, "run_id", job->run_id, "suite", job->suite, "suite_name",
        job->suite_name, "results_dir", job->results_dir, "runtime_dir", job->runtime_dir,
        "scratch_dir", job->scratch_dir, "filter", job->filter, "driver", job->driver, "channel",
        job->channel, "mdm", job->mdm, "mdm_credentials", job->mdm_credentials, "mdm_ca",
        job->mdm_ca, "wait", job->wait, "fail_fast", job->fail_fast, "list_only", job->list_only,
        "dry_run", job->dry_run, "keep_failed", job->keep_failed, "keep_always", job->keep_always,
        "test_timeout", job->test_timeout, "memory_limit", (json_int_t)job->memory_limit);
}

enum vt_code vt_job_from_json(const json_t *object, struct vt_job *job, struct vt_error *err)
{
    memset(job, 0, sizeof *job);
    const struct {
        const char *key;
        char **to;
    } texts[] = {
        {"run_id", &job->run_id},           {"suite", &job->suite},
        {"suite_name", &job->suite_name},   {"results_dir", &job->results_dir},
        {"runtime_dir", &job->runtime_dir}, {"scratch_dir", &job->scratch_dir},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = vt_json_str(object, texts[i].key, NULL);
        if (!text) {
            vt_job_clear(job);
            return vt_fail(err, VT_EPROTO, "worker", "the job has no \"%s\"", texts[i].key);
        }
        *texts[i].to = vt_strdup(text);
    }
    job->number = (int)vt_json_int(object, "number", 0);
    job->filter = vt_strdup(vt_json_str(object, "filter", NULL));
    job->driver = vt_strdup(vt_json_str(object, "driver", NULL));
    job->channel = vt_strdup(vt_json_str(object, "channel", NULL));
    job->mdm = vt_strdup(vt_json_str(object, "mdm", NULL));
    job->mdm_credentials = vt_strdup(vt_json_str(object, "mdm_credentials", NULL));
    job->mdm_ca = vt_strdup(vt_json_str(object, "mdm_ca", NULL));
    job->wait = vt_json_num(object, "wait", 0);
    job->fail_fast = vt_json_bool(object, "fail_fast", false);
    job->list_only = vt_json_bool(object, "list_only", false);
    job->dry_run = vt_json_bool(object, "dry_run", false);
    job->keep_failed = vt_json_bool(object, "keep_failed", false);
    job->keep_always = vt_json_bool(object, "keep_always", false);
    job->test_timeout = vt_json_num(object, "test_timeout", 0);
    job->memory_limit = (uint64_t)vt_json_int(object, "memory_limit", 0);
    if (job->number < 1 || !(job->test_timeout > 0) || !job->memory_limit || !(job->wait >= 0)) {
        vt_job_clear(job);
        return vt_fail(
            err, VT_EPROTO, "worker",
            "the job needs a number, a test_timeout and a memory_limit above 0, and a wait "
            "that is not below 0");
    }
    return VT_OK;
}

void vt_job_clear(struct vt_job *job)
{
    vt_free(job->run_id);
    vt_free(job->suite);
    vt_free(job->suite_name);
    vt_free(job->results_dir);
    vt_free(job->runtime_dir);
    vt_free(job->scratch_dir);
    vt_free(job->filter);
    vt_free(job->driver);
    vt_free(job->channel);
    vt_free(job->mdm);
    vt_free(job->mdm_credentials);
    vt_free(job->mdm_ca);
    memset(job, 0, sizeof *job);
}
