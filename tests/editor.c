/* What every script editor does: load a script through VSScript, list its outputs, ask for frames in a jumping order,
 * throw all away, and load it again. Prints a line for each output and pass; ends with code 1 and the script's error.
 *
 * usage: editor SCRIPT FRAMES_PER_OUTPUT */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define VSSCRIPT_USE_API_42
#include "VSScript4.h"

static uint64_t sum(const VSAPI *vs, const VSFrame *frame, uint64_t hash) {
    const VSVideoFormat *format = vs->getVideoFrameFormat(frame);
    for (int plane = 0; plane < format->numPlanes; plane++) {
        const uint8_t *row = vs->getReadPtr(frame, plane);
        const int bytes = vs->getFrameWidth(frame, plane) * format->bytesPerSample;
        for (int y = 0; y < vs->getFrameHeight(frame, plane); y++, row += vs->getStride(frame, plane))
            for (int x = 0; x < bytes; x++)
                hash = (hash ^ row[x]) * 1099511628211u;
    }
    return hash;
}

int main(int argc, char **argv) {
    const VSSCRIPTAPI *script = getVSScriptAPI(VSSCRIPT_API_VERSION);
    if (argc != 3 || !script)
        return 2;
    const VSAPI *vs = script->getVSAPI(VAPOURSYNTH_API_VERSION);
    for (int pass = 0; pass < 2; pass++) {
        VSScript *handle = script->createScript(NULL);
        script->evalSetWorkingDir(handle, 1);
        if (script->evaluateFile(handle, argv[1])) {
            fprintf(stderr, "%s\n", script->getError(handle));
            return 1;
        }
        int outputs[16];
        const int count = script->getAvailableOutputNodes(handle, 16, outputs);
        for (int i = 0; i < count; i++) {
            VSNode *node = script->getOutputNode(handle, outputs[i]);
            const VSVideoInfo *info = vs->getVideoInfo(node);
            uint64_t hash = 14695981039346656037u;
            for (int k = 0; k < atoi(argv[2]); k++) {
                const int n = (int)((k * 7919LL + 5) % info->numFrames);
                char error[1024];
                const VSFrame *frame = vs->getFrame(n, node, error, sizeof error);
                if (!frame) {
                    fprintf(stderr, "output %d frame %d: %s\n", outputs[i], n, error);
                    return 1;
                }
                hash = sum(vs, frame, hash);
                vs->freeFrame(frame);
            }
            printf("%d %d %dx%d %d %016llx\n", pass, outputs[i], info->width, info->height, info->numFrames,
                   (unsigned long long)hash);
            vs->freeNode(node);
        }
        script->freeScript(handle);
    }
    return 0;
}
