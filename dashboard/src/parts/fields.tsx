import {
  FormGroup, FormHelperText, FormSelect, FormSelectOption, HelperText, HelperTextItem, TextArea, TextInput,
} from "@patternfly/react-core";
import { useId } from "react";

interface Common { label: string; help?: string; error?: string; required?: boolean }

function Help({ help, error, id }: { help?: string; error?: string; id: string }) {
  if (!help && !error) return null;
  return (
    <FormHelperText>
      <HelperText id={id}><HelperTextItem variant={error ? "error" : "default"}>{error ?? help}</HelperTextItem></HelperText>
    </FormHelperText>
  );
}

export function TextField({ label, value, set, help, error, required, type = "text", placeholder, autoFocus, autoComplete = "off" }: Common & {
  value: string; set: (value: string) => void; type?: "text" | "password" | "number" | "email"; placeholder?: string;
  autoFocus?: boolean; autoComplete?: string;
}) {
  const id = useId();
  return (
    <FormGroup label={label} fieldId={id} isRequired={required}>
      <TextInput id={id} value={value} type={type} placeholder={placeholder} isRequired={required} autoFocus={autoFocus}
        autoComplete={autoComplete} validated={error ? "error" : "default"} aria-describedby={`${id}-help`}
        onChange={(_event, text) => set(text)} />
      <Help help={help} error={error} id={`${id}-help`} />
    </FormGroup>
  );
}

export function TextAreaField({ label, value, set, help, error, required, rows = 4 }: Common & {
  value: string; set: (value: string) => void; rows?: number;
}) {
  const id = useId();
  return (
    <FormGroup label={label} fieldId={id} isRequired={required}>
      <TextArea id={id} value={value} rows={rows} resizeOrientation="vertical" className="st-mono" aria-describedby={`${id}-help`}
        validated={error ? "error" : "default"} onChange={(_event, text) => set(text)} />
      <Help help={help} error={error} id={`${id}-help`} />
    </FormGroup>
  );
}

export function ChoiceField({ label, value, set, options, help, error, required }: Common & {
  value: string; set: (value: string) => void; options: { value: string; label: string; disabled?: boolean }[];
}) {
  const id = useId();
  return (
    <FormGroup label={label} fieldId={id} isRequired={required}>
      <FormSelect id={id} value={value} aria-describedby={`${id}-help`} validated={error ? "error" : "default"} onChange={(_event, found) => set(found)}>
        {options.map((option) => (
          <FormSelectOption key={option.value} value={option.value} label={option.label} isDisabled={option.disabled} />
        ))}
      </FormSelect>
      <Help help={help} error={error} id={`${id}-help`} />
    </FormGroup>
  );
}
