//! Log lines in klog's text and JSON formats.
